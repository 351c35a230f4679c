package roster

import (
	"parley/router"
)

// presence shows what became of one resource to the account's other resources, and what
// they are to one that came: a user is implicitly subscribed to their own presence
// (RFC 6121 §4.2.2, §4.4.2, §4.5.2).
func presence(t *router.Turn, a *router.Account, c router.PresenceChange) {
	for _, res := range a.Resources() {
		if res.Available() {
			t.Push(res.Session, c.Stanza.Readdressed(a.JID, c.Before.JID()))
		}
	}
	if c.Went() { // also to the one that went (RFC 6121 §4.5.2); a closed session takes nothing
		t.Push(c.After.Session, c.Stanza.Readdressed(a.JID, c.Before.JID()))
	}
	if !c.Came() {
		return
	}
	for _, res := range a.Resources() { // RFC 6121 §4.3.2: the answer to the probe that this implies
		if res.Available() && res.Session != c.After.Session {
			t.Push(c.After.Session, res.Presence.Readdressed(a.JID, res.JID()))
		}
	}
}

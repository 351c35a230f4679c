package s2s

import (
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
)

// TestPresenceOnReconnect has presence change while a domain is not reached: when it is there
// again each side knows the last of it, and of the rest nothing.
func TestPresenceOnReconnect(t *testing.T) {
	a, b := two(t, func(p *plan) { p.set.Bidi = false }, false)
	ann, bob := befriended(t, a, b)
	b.stop()
	a.stop()
	b.again()
	a.again()
	a.leads("b.example", "127.0.0.1:1", false) // b is not there
	b.leads("a.example", a.starttls, false)
	ann.Says("<presence><show>away</show></presence>")
	routertest.Eventually(t, "an attempt fails", func() bool { return a.Figures(1).Waiting == 0 && len(a.Routes()) > 0 && a.Routes()[0].Error != "" })
	ann.Says("<presence><show>dnd</show></presence>")
	ann.Says("<presence><show>xa</show></presence>")
	a.leads("b.example", b.starttls, false)
	a.CloseDomain("b.example") // tries at once
	wants(t, bob, "<presence from='ann@a.example/1' to='bob@b.example'><show>xa</show></presence>")
	time.Sleep(50 * time.Millisecond)
	for st := bob.Hears(); st != nil; st = bob.Hears() {
		if st.From == ann.JID() {
			t.Errorf("bob also hears %s", st)
		}
	}
}

// TestAbsentDomain has the users of a domain that is not reached be shown as absent, and be
// asked for when it is there again.
func TestAbsentDomain(t *testing.T) {
	a, b := two(t, func(p *plan) { p.set.Bidi = false }, false)
	ann, bob := befriended(t, a, b)
	bob.Says("<presence><show>chat</show></presence>")
	wants(t, ann, "<presence from='bob@b.example/2' to='ann@a.example'><show>chat</show></presence>")
	a.leads("b.example", "127.0.0.1:1", false)
	a.CloseDomain("b.example")
	r := a.route(pair{"a.example", "b.example"})
	routertest.Eventually(t, "the stream has ended", func() bool { return r.leavesBy() == nil })
	r.mu.Lock()
	r.away.since = time.Now().Add(-2 * absentAfter) // that is a long time
	r.mu.Unlock()
	ann.Says("<message to='bob@b.example' type='chat' id='1'><body>There?</body></message>")
	wants(t, ann, "<presence from='bob@b.example' to='ann@a.example' type='unavailable'/>")
	a.leads("b.example", b.starttls, false)
	a.CloseDomain("b.example") // tries at once
	wants(t, ann, "<presence from='bob@b.example/2' to='ann@a.example'><show>chat</show><delay xmlns='urn:xmpp:delay' from='b.example' stamp='*'/></presence>")
}

// befriended are two who see each other, on two domains.
func befriended(t *testing.T, a, b *house) (ann, bob *routertest.Actor) {
	t.Helper()
	ann, bob = a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says("<presence to='bob@b.example' type='subscribed'/>") // approved before it is asked for
	bob.Says("<presence to='ann@a.example' type='subscribed'/>")
	ann.Says("<presence to='bob@b.example' type='subscribe'/>")
	bob.Says("<presence to='ann@a.example' type='subscribe'/>")
	for _, who := range []*routertest.Actor{ann, bob} {
		routertest.Eventually(t, who.JID().String()+" sees the other", func() bool {
			st := who.Hears()
			return st != nil && st.Type == "" && st.From.Domain() != who.JID().Domain() && strings.Contains(st.String(), "presence")
		})
	}
	for range 2 { // behind these stands all that the servers have said about it, and have answered to that
		for from, to := range map[*routertest.Actor]*routertest.Actor{ann: bob, bob: ann} {
			from.Says("<message to='" + to.JID().String() + "' type='headline' id='behind'/>")
			routertest.Eventually(t, "it comes", func() bool {
				st := to.Hears()
				return st != nil && st.ID == "behind"
			})
		}
	}
	ann.Forgets()
	bob.Forgets()
	return ann, bob
}

package mam_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestRetraction: only who has sent a message retracts it, in that conversation, and then
// it is gone from both archives and from what is searched; nothing else changes.
func TestRetraction(t *testing.T) {
	s := play(t, mam.Archive{})
	s.juliet.Comes("<presence/>")
	s.Exists(nurse)
	r, r2, m := s.Online("romeo@example.com/desk"), s.Online("romeo@example.com/garden"), s.Online("mallory@example.com/x")
	const retract = "<retract xmlns='urn:xmpp:message-retract:1' id='%s'/><body>/me has retracted a message</body>"
	say := func(from *routertest.Actor, to, id, inside string) {
		t.Helper()
		from.Sends(fmt.Sprintf("<message to='%s' type='chat' id='%s'>%s</message>", to, id, inside))
	}
	const me = "juliet@example.com"
	say(r, me, "a", "<body>secret a</body><x xmlns='test'/>")
	say(r, me, "b", "<body>secret b</body>")
	say(r, "nurse@example.com", "c", "<body>secret c</body>")
	say(m, me, "b", "<body>mine b</body>")
	bodies := func() string {
		var all []string
		err := s.Store.Read(t.Context(), func(tx *storage.Tx) error {
			return tx.Each(`select stanza from body order by id`, nil, func(r *storage.Row) error { all = append(all, r.Text(0)); return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, "\n")
	}
	say(m, me, "m1", fmt.Sprintf(retract, "a"))
	say(s.juliet, "romeo@example.com", "j1", fmt.Sprintf(retract, "a"))
	say(r, me, "r1", fmt.Sprintf(retract, "c"))
	say(r, me, "r2", fmt.Sprintf(retract, "nothing"))
	say(r, me, "r3", fmt.Sprintf(retract, ""))
	say(r, me, "r4", fmt.Sprintf(retract, "r4")) // itself
	if got := bodies(); strings.Contains(got, "<retracted") || !strings.Contains(got, "secret a") || !strings.Contains(got, "secret c") {
		t.Fatalf("somebody has retracted what is none of their business:\n%s", got)
	}
	s.juliet.Forgets()
	s.asks("set", form("", words+"secret")) // from here on the index knows them
	say(r2, me, "r5", fmt.Sprintf(retract, "a"))
	say(r, me, "r6", fmt.Sprintf(retract, "b"))
	say(r, "nurse@example.com", "r7", fmt.Sprintf(retract, "c"))
	if got := bodies(); strings.Contains(got, "secret") || !strings.Contains(got, "mine b") || strings.Count(got, "<retracted") != 3 {
		t.Fatalf("%s", got)
	}
	s.juliet.Forgets()
	for _, who := range []*routertest.Actor{s.juliet, r} {
		who.Forgets()
		results, answer := s.asksAs(who, "set", "", form(rsm("<max>1</max>")))
		if why := routertest.Match(`<message><result xmlns='urn:xmpp:mam:2' queryid='f' id='*'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='*'/>
			<message xmlns='jabber:client' from='romeo@example.com/desk' to='juliet@example.com' type='chat' id='a'>
			<retracted xmlns='urn:xmpp:message-retract:1' id='r5' stamp='*'/></message></forwarded></result></message>`, results[0]); why != "" {
			t.Errorf("%s: %s", why, results[0])
		}
		if fin := finOf(t, answer); fin.index != "0" {
			t.Errorf("%+v", fin)
		}
		if results, _ := s.asksAs(who, "set", "", form("", words+"secret")); len(results) > 0 {
			t.Errorf("%d are found", len(results))
		}
	}
	say(r, me, "r8", fmt.Sprintf(retract, "a"))
	if got := bodies(); strings.Contains(got, "id='r8' stamp") {
		t.Error("a tombstone is retracted once more")
	}
	if _, answer := s.asksAs(r, "get", "romeo@example.com", "<query xmlns='http://jabber.org/protocol/disco#info'/>"); !strings.Contains(answer.String(), "urn:xmpp:message-retract:1#tombstone") {
		t.Errorf("%s", answer)
	}
}

// TestRetractionOfOld: what is found by the index, among many of the same name.
func TestRetractionOfOld(t *testing.T) {
	s := play(t, mam.Archive{})
	r := s.Online("romeo@example.com/desk")
	from := xmpp.MustJID("romeo@example.com/desk")
	fills(t, s.Store, func(k keeper) {
		for i := range 700 {
			k.said(s.owner, juliet, at(i), from, incoming|content, fmt.Sprint("m", i%350), "<body>x</body>")
		}
		k.takes(s.owner, at(10_000))
	})
	s.asks("set", form("", words+"x"))
	routertest.Eventually(t, "the index is complete", func() bool {
		var upto storage.ID
		err := s.Store.Read(t.Context(), func(tx *storage.Tx) error {
			_, err := tx.One(`select upto from indexed where owner = 0`, nil, &upto)
			return err
		})
		r.Sends("<message to='juliet@example.com' type='chat'><body>wake</body></message>")
		return err == nil && upto >= at(699)
	})
	r.Sends("<message to='juliet@example.com' type='chat' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='m7'/></message>")
	s.juliet.Forgets()
	results, _ := s.asks("set", form("", "ids="+s.Store.Opaque(at(7))+" "+s.Store.Opaque(at(357))))
	if len(results) != 2 || strings.Contains(results[0].String(), "<retracted") || !strings.Contains(results[1].String(), "<retracted") {
		t.Errorf("%v", results)
	}
}

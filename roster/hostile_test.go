package roster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

const full = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error>"

// TestBytesOfARoster: a roster is sent whole, so that all of it together is limited and not
// the number of items alone. What is full may be made smaller, and subscriptions go on.
func TestBytesOfARoster(t *testing.T) {
	s := newStage(t)
	romeo := s.Online("romeo@example.com/a")
	romeo.Forgets()
	groups := make([]string, DefaultLimits().Groups)
	for i := range groups {
		groups[i] = fmt.Sprintf("%03d", i) + strings.Repeat("x", DefaultLimits().Name-3)
	}
	heavy := DefaultLimits().Bytes / (DefaultLimits().Groups * (DefaultLimits().Name + 3))
	s.fill("romeo@example.com", heavy, func(i int) Item {
		return Item{JID: xmpp.MustJID(fmt.Sprintf("c%d@example.com", i)), Subscription: "none", Groups: groups}
	})
	set := func(jid, name string) string {
		return "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='" + jid + "' name='" + name + "'><group>" +
			strings.Join(groups, "</group><group>") + "</group></item></query></iq>"
	}
	romeo.Sends(set("new@example.com", ""))
	romeo.Gets("<iq type='error' id='1'>" + full + "</iq>")
	romeo.Does("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='c0@example.com'/></query></iq>")
	romeo.Does(set("new@example.com", ""))
	romeo.Sends(set("c0@example.com", "grows again"))
	romeo.Gets("<iq type='error' id='1'>" + full + "</iq>")
	romeo.Does("<iq type='set' id='4'><query xmlns='jabber:iq:roster'><item jid='c2@example.com' subscription='remove'/></query></iq>")
	romeo.Does(set("c0@example.com", "grows again"))
	romeo.Sends("<presence type='subscribe' to='c1@example.com'/>")
	romeo.GetsNothing()
	if got, _ := s.state("romeo@example.com", "c1@example.com"); got != nonePendingOut {
		t.Errorf("the state is %d", got)
	}
	romeo.Sends("<iq type='get' id='3'><query xmlns='jabber:iq:roster'/></iq>")
	if st := romeo.Hears(); st.Type != "result" || st.Len() > 4<<20 {
		t.Errorf("the roster has %d bytes", st.Len())
	}
	s.counted("romeo@example.com", int64(heavy))
}

// counted wants a roster to have n items, and what is counted of it to be what is there.
func (s *stage) counted(user string, n int64) {
	s.t.Helper()
	owner := s.Dir.Add(xmpp.MustJID(user))
	err := s.Store.Read(s.t.Context(), func(tx *storage.Tx) error {
		list, err := items(tx, owner)
		if err != nil {
			return err
		}
		sum := int64(0)
		for _, it := range list {
			groups, err := json.Marshal(it.Groups)
			if err != nil {
				return err
			}
			sum += int64(len(it.JID.String()) + len(it.Name) + len(groups))
		}
		items, bytes, err := total(tx, owner)
		if items != n || int64(len(list)) != n || bytes != sum {
			s.t.Errorf("%d items of %d bytes are counted where there are %d of %d", items, bytes, len(list), sum)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestRosterFromBeforeCounting: the rosters of an earlier version are counted once.
func TestRosterFromBeforeCounting(t *testing.T) {
	dir := t.TempDir()
	old := schema
	old.Steps = schema.Steps[:2]
	h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{{Name: "before", Schema: old}}, Storage: storage.Config{Dir: dir}})
	err := h.Store.Write(t.Context(), func(tx *storage.Tx) error {
		for _, q := range []string{
			`insert into roster_item (owner, jid, name, subscription, ask, approved, groups) values (1, 'a@example.com', 'é', 'none', '', 0, '["x"]')`,
			`insert into roster_item (owner, jid, name, subscription, ask, approved, groups) values (1, 'b@example.com', '', 'none', '', 0, '[]')`,
			`insert into roster_version (owner, version) values (1, 2)`,
			`insert into roster_version (owner, version) values (2, 1)`,
		} {
			if err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Store.Close(t.Context())
	s := &stage{routertest.NewWith(t, routertest.Config{Features: []router.Feature{New()}, Storage: storage.Config{Dir: dir}}), t}
	s.counted("romeo@example.com", 2)
	s.counted("juliet@example.com", 0)
}

// TestItemsTooLarge: what one item may be.
func TestItemsTooLarge(t *testing.T) {
	s := newStage(t)
	romeo := s.Online("romeo@example.com/a")
	romeo.Forgets()
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "<group>%d</group>", i)
	}
	long := strings.Repeat("é", DefaultLimits().Name+1)
	for _, c := range []struct{ item, condition string }{
		{"<item jid='a@example.com'>" + many.String() + "</item>", "not-acceptable"},
		{"<item jid='a@example.com' name='" + long + "'/>", "not-acceptable"},
		{"<item jid='a@example.com' name='" + strings.Repeat("x", 100<<10) + "'/>", "not-acceptable"},
		{"<item jid='a@example.com'><group>" + long + "</group></item>", "not-acceptable"},
		{"<item jid='" + strings.Repeat("a", 1024) + "@example.com'/>", "jid-malformed"},
		{"<item jid='a@" + strings.Repeat("b", 64) + ".example'/>", "jid-malformed"},
		{"<item jid='a&#10;b@example.com'/>", "jid-malformed"},
		{"<item jid='a@example.com'/><item jid='a@example.com'/>", "bad-request"},
		{"<item xmlns='other' jid='a@example.com'/>", "bad-request"},
	} {
		romeo.Sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>" + c.item + "</query></iq>")
		romeo.Gets("<iq type='error' id='1'><error type='modify'><" + c.condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>")
	}
	romeo.Sends("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>")
	romeo.Gets("<iq type='result' id='2'><query xmlns='jabber:iq:roster' ver='0'/></iq>")
}

// TestRequestsWithoutContent: a request may be large without having any content, by its id
// or by attributes that nobody knows. What waits of it is small.
func TestRequestsWithoutContent(t *testing.T) {
	s := newStage(t)
	s.Exists(xmpp.MustJID("juliet@example.com"))
	romeo := s.Online("romeo@example.com/a")
	romeo.Forgets()
	long := strings.Repeat("x", maxRequest)
	for _, attr := range []string{"id", "unknown", "xml:lang"} {
		say := "<presence type='subscribe' to='juliet@example.com' from='%s' " + attr + "='" + long + "'/>"
		romeo.Sends(fmt.Sprintf(say, "romeo@example.com"))
		romeo.Gets("<presence type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></presence>")
		st, err := xmpp.ParseStanza(fmt.Sprintf(say, "far-"+attr[:2]+"@elsewhere.example"))
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		s.Router.Deliver(&rd, st)
		s.Settle()
	}
	juliet := s.Online("juliet@example.com/b")
	n := 0
	for st := juliet.Hears(); st != nil; st = juliet.Hears() {
		if st.Type != "subscribe" {
			continue
		}
		if n++; st.Len() > maxRequest {
			t.Errorf("a request of %d bytes waited", st.Len())
		}
	}
	if n != 3 {
		t.Errorf("%d requests waited", n)
	}
}

// TestRequestsToMany: somebody who asks a thousand people fills the own roster and nobody
// else's; who is asked hears of one request, however often it is repeated.
func TestRequestsToMany(t *testing.T) {
	s := newStage(t)
	romeo, juliet := s.Online("romeo@example.com/a"), s.Online("juliet@example.com/b")
	juliet.Forgets()
	s.fill("romeo@example.com", DefaultLimits().Items-10, func(i int) Item {
		return Item{JID: xmpp.MustJID(fmt.Sprintf("c%d@example.com", i)), Subscription: "none"}
	})
	romeo.Forgets()
	for range 20 {
		romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	}
	romeo.GetsNothing()
	refused := 0
	for i := range 20 {
		romeo.Sends(fmt.Sprintf("<presence type='subscribe' to='u%d@example.net'/>", i))
		if st := romeo.Hears(); st != nil && xmpp.ErrorOf(st).Condition == "resource-constraint" {
			refused++
		}
	}
	if refused != 11 {
		t.Errorf("%d requests are refused", refused)
	}
	juliet.Gets("<presence type='subscribe' from='romeo@example.com'/>")
	juliet.GetsNothing()
	juliet.Sends("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
	juliet.Gets("<iq type='result' id='1'><query xmlns='jabber:iq:roster' ver='0'/></iq>")
}

// FuzzSet reads roster sets of any content: no panic, and what is taken is within limits.
func FuzzSet(f *testing.F) {
	r := &feature{limits: DefaultLimits}
	for _, seed := range []string{
		"", "<item/>", "<item jid='a@b'/>", "<item jid='a@b' name='x'><group>g</group><group>h</group></item>",
		"<item jid='a@b' subscription='remove'/>", "<item jid='@'/><item/>", "<item jid='ａ@b。c/d'><group/></item>",
		"<x:item xmlns:x='jabber:iq:roster' jid='a@b'><x:group>&lt;</x:group></x:item>", "<item jid='a@b'><group><b/>x</group><group>x</group></item>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		st, err := xmpp.ParseStanza("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>" + content + "</query></iq>")
		if err != nil || st.PayloadCount() != 1 || !st.Payload().Is(ns, "query") {
			return
		}
		it, remove, err := r.wanted(st.Payload())
		if err != nil || remove {
			return
		}
		if !it.JID.IsBare() || len([]rune(it.Name)) > DefaultLimits().Name || len(it.Groups) > DefaultLimits().Groups || it.Subscription != "none" || it.Ask != "" || it.Approved {
			t.Errorf("%s is taken for %+v", content, it)
		}
		again, err := xmpp.ParseStanza("<iq type='set' id='1'>" + string(query("1", []Item{it})) + "</iq>")
		if err != nil {
			t.Fatalf("it is pushed as what cannot be read: %v", err)
		}
		if back, _, err := r.wanted(again.Payload()); err != nil || back.JID != it.JID || back.Name != it.Name || strings.Join(back.Groups, "\x00") != strings.Join(it.Groups, "\x00") {
			t.Errorf("%+v is pushed as %+v (%v)", it, back, err)
		}
	})
}

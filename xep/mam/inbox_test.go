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

const nsInbox = "urn:xmpp:inbox:1"

// looks asks for the inbox and returns "who:unread:last" of each entry, and the <fin/>.
func (s *scene) looks(attrs, set string) (string, xmpp.Element) {
	s.t.Helper()
	results, answer := s.asks("get", `<inbox xmlns='urn:xmpp:inbox:1'`+attrs+`>`+set+`</inbox>`)
	var list []string
	for _, st := range results {
		e := st.Child(nsInbox, "entry")
		who, _, _ := strings.Cut(e.Attr("jid"), "@")
		list = append(list, who+":"+e.Attr("unread")+":"+names([]*xmpp.Stanza{st}))
	}
	return strings.Join(list, " "), answer.Child(nsInbox, "fin")
}

func (s *scene) wantsInbox(what, want string) {
	s.t.Helper()
	s.juliet.Forgets()
	if got, _ := s.looks("", ""); got != want {
		s.t.Errorf("%s: %q instead of %q", what, got, want)
	}
}

// TestInbox: conversations by last activity, with what is unread, through everything that
// says that something was read (XEP-0430 §4).
func TestInbox(t *testing.T) {
	s := play(t, mam.Archive{})
	s.juliet.Comes("<presence/>")
	r, n, p := s.Online("romeo@example.com/x"), s.Online("nurse@example.com/x"), s.Online("paris@example.com/x")
	say := func(from *routertest.Actor, to, id, inside string) {
		t.Helper()
		from.Sends(fmt.Sprintf("<message to='%s' type='chat' id='%s'>%s</message>", to, id, inside))
	}
	const me, body = "juliet@example.com", "<body>x</body>"
	s.wantsInbox("nothing", "")
	for i := range 3 {
		say(r, me, fmt.Sprint("r", i), body)
	}
	say(n, me, "n0", body)
	say(s.juliet, "paris@example.com", "j0", body)
	s.wantsInbox("at first", "paris:0:j0 nurse:1:n0 romeo:3:r2")
	say(s.juliet, "romeo@example.com", "m", "<displayed xmlns='urn:xmpp:chat-markers:0' id='r1'/>")
	s.wantsInbox("two displayed", "romeo:1:r2 paris:0:j0 nurse:1:n0")
	say(s.juliet, "romeo@example.com", "m", "<displayed xmlns='urn:xmpp:chat-markers:0' id='r0'/>")
	s.wantsInbox("markers do not move back", "romeo:1:r2 paris:0:j0 nurse:1:n0")
	say(s.juliet, "romeo@example.com", "m", "<displayed xmlns='urn:xmpp:chat-markers:0' id='n0'/>")
	s.wantsInbox("one of another conversation", "romeo:1:r2 paris:0:j0 nurse:1:n0")
	say(r, me, "m", "<displayed xmlns='urn:xmpp:chat-markers:0' id='r2'/>")
	s.wantsInbox("others' markers mean nothing", "romeo:1:r2 paris:0:j0 nurse:1:n0")
	say(n, me, "x", "<received xmlns='urn:xmpp:receipts' id='x'/>")
	s.wantsInbox("a receipt is not unread", "nurse:1:n0 romeo:1:r2 paris:0:j0")
	say(s.juliet, "nurse@example.com", "j1", body)
	s.wantsInbox("who answers has read", "nurse:0:j1 romeo:1:r2 paris:0:j0")
	say(n, me, "n1", body)
	s.wantsInbox("after the answer", "nurse:1:n1 romeo:1:r2 paris:0:j0")
	say(r, me, "gone", "<retract xmlns='urn:xmpp:message-retract:1' id='r2'/>")
	s.wantsInbox("retracted is not unread", "romeo:0:r1 nurse:1:n1 paris:0:j0")
	say(p, me, "p0", body)
	say(s.juliet, "juliet@example.com", "note", body)
	s.wantsInbox("notes to oneself", "juliet:0:note paris:1:p0 romeo:0:r1 nurse:1:n1")
	got, fin := s.looks(" unread-only='true' messages='0'", "")
	if got != "paris:1: nurse:1:" || fin.Attr("total") != "4" || fin.Attr("unread") != "2" || fin.Attr("all-unread") != "2" || fin.Child(xmpp.NSRSM, "set").ChildText("", "count") != "2" {
		t.Errorf("unread only: %q, %v", got, string(fin.Payload()))
	}
}

// TestInboxPages: pages of an inbox.
func TestInboxPages(t *testing.T) {
	s := play(t, mam.Archive{})
	fills(t, s.Store, func(k keeper) {
		for i := range 10 {
			k.said(s.owner, juliet, at(i), xmpp.MustJID(fmt.Sprintf("p%d@example.net/x", i)), incoming|content, fmt.Sprint(i), "<body/>")
		}
		k.said(s.owner, juliet, at(20), xmpp.MustJID("ghost@example.net/x"), incoming|hidden, "h", "<body/>")
		k.takes(s.owner, at(100))
	})
	id := func(n int) string { return s.Store.Opaque(at(n)) }
	for set, want := range map[string]string{
		"<max>3</max>": "9 8 7",
		"<max>3</max><after>" + id(7) + "</after>":                   "6 5 4",
		"<max>3</max><after>" + id(1) + "</after>":                   "0",
		"<max>3</max><after>" + id(0) + "</after>":                   "",
		"<max>3</max><before/>":                                      "2 1 0",
		"<max>3</max><before>" + id(2) + "</before>":                 "5 4 3",
		"<max>3</max><before>" + id(8) + "</before>":                 "9",
		"<max>3</max><index>8</index>":                               "1 0",
		"<max>3</max><index>80</index>":                              "",
		"<max>0</max>":                                               "",
		"<max>3</max><after>" + s.Store.Opaque(at(7)+9) + "</after>": "7 6 5", // gone or moved, and still a place
	} {
		results, answer := s.asks("get", "<inbox xmlns='urn:xmpp:inbox:1'>"+rsm(set)+"</inbox>")
		fin := answer.Child(nsInbox, "fin").Child(xmpp.NSRSM, "set")
		if got := names(results); got != want || fin.ChildText("", "count") != "10" {
			t.Errorf("%s: %q, %s", set, got, answer)
		}
		if n := strings.Fields(want); len(n) > 0 && fin.Child("", "first").Attr("index") != string('9'-n[0][0]+'0') {
			t.Errorf("%s: %s", set, answer)
		}
	}
	for request, condition := range map[string]string{
		"<inbox xmlns='urn:xmpp:inbox:1'>" + rsm("<after>x</after>") + "</inbox>":   "item-not-found",
		"<inbox xmlns='urn:xmpp:inbox:1'>" + rsm("<before>x</before>") + "</inbox>": "item-not-found",
		"<inbox xmlns='urn:xmpp:inbox:1'>" + rsm("<max>-1</max>") + "</inbox>":      "bad-request",
		"<inbox xmlns='urn:xmpp:inbox:1' unread-only='maybe'/>":                     "bad-request",
		"<inbox xmlns='urn:xmpp:inbox:1' messages='2'/>":                            "bad-request",
	} {
		_, answer := s.asks("get", request)
		refused(t, request, answer, condition)
	}
	mallory := s.Connected("mallory@example.com/x")
	for _, whose := range []string{"juliet@example.com", "nobody@example.com"} {
		_, answer := s.asksAs(mallory, "get", whose, "<inbox xmlns='urn:xmpp:inbox:1'/>")
		refused(t, "somebody else's", answer, "forbidden")
	}
}

// TestManyUnread: what was counted once is not counted again, and is right all the same.
func TestManyUnread(t *testing.T) {
	s := play(t, mam.Archive{})
	fills(t, s.Store, func(k keeper) {
		for i := range 500 {
			k.said(s.owner, juliet, at(i), romeo, incoming|content, fmt.Sprint(i), "<body/>")
		}
		k.takes(s.owner, at(10_000))
	})
	check := func(what string, want int) {
		t.Helper()
		for range 2 {
			if got, _ := s.looks(" messages='false'", ""); got != fmt.Sprintf("romeo:%d:", want) {
				t.Errorf("%s: %q instead of %d", what, got, want)
			}
			s.Settle()
		}
	}
	counted := func() (n int) {
		err := s.Store.Read(t.Context(), func(tx *storage.Tx) error { _, err := tx.One(`select unread from seen`, nil, &n); return err })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	check("at first", 500)
	if counted() != 500 {
		t.Errorf("%d are remembered", counted())
	}
	fills(t, s.Store, func(k keeper) {
		for i := range 300 {
			k.said(s.owner, juliet, at(1000+i), romeo, incoming|content, "more", "<body/>")
		}
	})
	check("more", 800)
	s.Exists(romeo.Bare())
	s.asks("set", form("", words+"x")) // the marker's message is found by the index
	s.juliet.Sends(`<message to='romeo@example.net' type='chat' id='x'><displayed xmlns='urn:xmpp:chat-markers:0' id='100'/></message>`)
	s.juliet.Forgets()
	check("some displayed", 699)
	s.juliet.Sends(`<message to='romeo@example.net' type='chat'><body>mine</body></message>`)
	s.Online("romeo@example.net/orchard").Sends(`<message to='juliet@example.com' type='chat'><body>theirs</body></message>`)
	s.juliet.Forgets()
	check("answered", 1)
}

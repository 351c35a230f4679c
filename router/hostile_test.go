package router_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

const condition = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"

// TestSilenceTellsNothing: who has used up the errors about addresses that do not exist
// cannot tell these from others by messages of types that are refused for everybody who is
// away.
func TestSilenceTellsNothing(t *testing.T) {
	h := routertest.New(t, mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Router.SetUnknownErrors(1)
	h.Exists(xmpp.MustJID("aaaa@example.com"))
	spy := h.Online("spy@example.com/1")
	spy.Sends("<message to='zzzz@example.com' type='chat'><body>?</body></message>")
	spy.Gets("<message type='error'>…</message>")
	for _, typ := range []string{"normal", "chat", "groupchat", "headline", "error", "shout", ""} {
		for _, resource := range []string{"", "/none"} {
			for _, body := range []string{"<body>?</body>", "", "<no-store xmlns='urn:xmpp:hints'/><body>?</body>"} {
				var got [2]string
				for i, name := range []string{"aaaa", "zzzz"} {
					spy.Sends(fmt.Sprintf("<message to='%s@example.com%s' type='%s' id='1'>%s</message>", name, resource, typ, body))
					for st := spy.Hears(); st != nil; st = spy.Hears() {
						got[i] += strings.ReplaceAll(st.String(), name, "zzzz")
					}
				}
				if got[0] != got[1] {
					t.Errorf("%q%s %s: somebody is\n%s\nnobody\n%s", typ, resource, body, got[0], got[1])
				}
			}
		}
	}
}

// TestThousandsOfDirectedPresences: so many are remembered as the limit says, the rest is
// refused, and everybody who was told of a resource is told when it goes.
func TestThousandsOfDirectedPresences(t *testing.T) {
	const most, all = 1024, 10_000
	h := routertest.New(t, roster.New())
	romeo := h.Online("romeo@example.com/desk")
	juliet := h.Online("juliet@example.com/home")
	p := romeo.Peer()
	refused, told, gone := 0, 0, 0
	p.Session.Tap(func(st *xmpp.Stanza) {
		if e := xmpp.ErrorOf(st); e != nil && e.Condition == "policy-violation" {
			refused++
		}
	})
	juliet.Peer().Session.Tap(func(st *xmpp.Stanza) {
		if told++; st.Type == "unavailable" {
			gone++
		}
	})
	var rd router.Round
	mustSend(t, p, &rd, "<presence to='juliet@example.com'/>")
	for i := 1; i < all; i++ {
		mustSend(t, p, &rd, fmt.Sprintf("<presence to='u%d@example.com'/>", i))
	}
	mustSend(t, p, &rd, "<presence to='juliet@example.com'><status>again</status></presence>") // one who was told may be told more
	mustSend(t, p, &rd, "<presence to='u9999@example.com' type='unavailable'/>")               // and anyone that one goes
	rd.Flush()
	if refused != all-most {
		t.Errorf("%d of %d are refused", refused, all)
	}
	romeo.Leaves()
	if told != 3 || gone != 1 {
		t.Errorf("she was told %d times, %d times that he went", told, gone)
	}
}

// TestLargePresence: presence goes to many and is remembered, so it has a limit of its own.
func TestLargePresence(t *testing.T) {
	h := routertest.New(t, roster.New())
	romeo, other := h.Online("romeo@example.com/desk"), h.Online("romeo@example.com/phone")
	romeo.Forgets()
	other.Forgets()
	large := strings.Repeat("x", 250<<10)
	for _, say := range []string{
		"<presence id='1'><status>" + large + "</status></presence>",
		"<presence id='1' to='juliet@example.com' type='subscribe'><status>" + large + "</status></presence>",
		"<presence id='1' to='juliet@example.com'><status>" + large + "</status></presence>",
		"<presence id='1' a='" + large + "'/>",
		"<presence id='1' xml:lang='" + large + "'/>",
	} {
		romeo.Sends(say)
		romeo.Gets("<presence type='error' id='1'><error type='modify'><policy-violation " + condition + "/>…</error></presence>")
	}
	romeo.Sends("<presence id='2'><status>" + large[:30<<10] + "</status></presence>")
	romeo.Gets("<presence id='2'>…</presence>")
	other.Gets("<presence id='2'>…</presence>")
	other.GetsNothing()
}

// TestStormIsFair: while one client sends presence as fast as it can, others' messages
// arrive, and in order.
func TestStormIsFair(t *testing.T) {
	h := routertest.New(t, roster.New(), mam.New(func() mam.Limits { return mam.Limits{} }))
	storm := h.Online("storm@example.com/x").Peer()
	romeo, juliet := h.Online("romeo@example.com/x").Peer(), h.Online("juliet@example.com/x").Peer()
	storm.Session.Tap(func(*xmpp.Stanza) {})
	var heard []string
	var mu sync.Mutex
	juliet.Session.Tap(func(st *xmpp.Stanza) {
		mu.Lock()
		heard = append(heard, st.ID)
		mu.Unlock()
	})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	sent := 0
	wg.Go(func() {
		var rd router.Round
		for ctx.Err() == nil {
			mustSend(t, storm, &rd, "<presence><show>away</show></presence>")
			mustSend(t, storm, &rd, "<presence to='juliet@example.com/none'/>")
			mustSend(t, storm, &rd, "<presence type='probe' to='juliet@example.com'/>")
			rd.Flush()
			sent += 3
		}
	})
	var rd router.Round
	for i := range 300 {
		mustSend(t, romeo, &rd, fmt.Sprintf("<message to='juliet@example.com/x' id='%d'><body>x</body></message>", i))
		mustSend(t, romeo, &rd, "<presence/>")
	}
	romeo.Sender.Settle(&rd)
	stop()
	wg.Wait()
	for i, id := range heard {
		if id != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, id)
		}
	}
	if len(heard) != 300 || sent == 0 {
		t.Errorf("%d messages arrived in a storm of %d", len(heard), sent)
	}
}

// TestFullUntilDrained: large messages to somebody who is away are kept until there is no
// room, refused then, and all that was kept is there.
func TestFullUntilDrained(t *testing.T) {
	h := routertest.New(t, roster.New(), mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Exists(xmpp.MustJID("juliet@example.com"))
	romeo := h.Online("romeo@example.com/x")
	romeo.Forgets()
	body := strings.Repeat("x", 200<<10)
	kept := 0
	for i := range 14 {
		romeo.Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>%s</body></message>", i, body))
		if st := romeo.Hears(); st == nil {
			kept++
		} else if e := xmpp.ErrorOf(st); e == nil || e.Condition != "service-unavailable" || len(st.Body()) > 1000 {
			t.Errorf("%.200s", st)
		}
	}
	if kept != 10 { // of 200 KiB in 2 MiB
		t.Errorf("%d were kept", kept)
	}
	for range 2 { // the second time round there is room again
		juliet := h.Online("juliet@example.com/x")
		for i := range kept {
			juliet.Gets(fmt.Sprintf("<message id='%d' type='chat'>…</message>", i))
		}
		juliet.GetsNothing()
		juliet.Leaves()
		kept = 1
		romeo.Sends("<message to='juliet@example.com' type='chat' id='0'><body>x</body></message>")
		romeo.GetsNothing()
	}
}

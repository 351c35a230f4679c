package carbons_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/carbons"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xmpp"
)

const enable = `<iq id='e' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>`

func newHouse(t testing.TB) *routertest.House {
	return routertest.New(t, carbons.New(), ping.New(),
		mam.New(func() mam.Limits { return mam.Limits{Messages: 1 << 30, Bytes: 1 << 40} }))
}

// unwrap returns the message that was sent, of what a device hears: itself, or the one in a
// carbon, which must be as XEP-0280 §7 and §8 say.
func unwrap(t testing.TB, st *xmpp.Stanza) (id string, carbon bool) {
	t.Helper()
	for _, wrapper := range []string{"sent", "received"} {
		c := st.Child("urn:xmpp:carbons:2", wrapper)
		if c.IsZero() {
			continue
		}
		m := c.Child("urn:xmpp:forward:0", "forwarded").Child(xmpp.NSClient, "message")
		from, err := xmpp.ParseJID(m.Attr("from"))
		own := err == nil && from.Bare() == st.To.Bare()
		if st.From != st.To.Bare() || m.Attr("type") != st.Type || own != (wrapper == "sent") || st.ID != "" {
			t.Errorf("a carbon that is none: %s", st)
		}
		return m.Attr("id"), true
	}
	return st.ID, false
}

// A conversation is what a user's devices are to show: every message, once, in this order.
type conversation struct {
	*routertest.House
	t       *testing.T
	rnd     *rand.Rand
	devices []*device
	other   []*routertest.Actor
	said    []string
	did     []string
}

type device struct {
	*routertest.Actor
	shows   []string
	carbons int
}

// TestEveryDeviceShowsTheSame has a user with three devices, whose presence and priorities
// change, talk with somebody at random: each device that wants carbons has the whole
// conversation, nothing twice and in one order.
func TestEveryDeviceShowsTheSame(t *testing.T) {
	copies := 0
	for seed := range uint64(30) {
		c := &conversation{House: newHouse(t), t: t, rnd: rand.New(rand.NewPCG(seed, 1))}
		for i := range 3 {
			d := &device{Actor: c.Connected(fmt.Sprintf("romeo@example.com/%d", i))}
			d.Does(enable)
			c.devices = append(c.devices, d)
		}
		for i := range 2 {
			c.other = append(c.other, c.Online(fmt.Sprintf("juliet@example.com/%d", i)))
		}
		for n := range 80 {
			c.step(n)
			c.listen()
		}
		for _, d := range c.devices {
			d.presence("<presence/>") // what waits now has been shown already
		}
		c.listen()
		for _, d := range c.devices {
			copies += d.carbons
			if !slices.Equal(d.shows, c.said) {
				t.Fatalf("seed %d: %s shows\n%q instead of\n%q after\n%s", seed, d.JID(), d.shows, c.said, strings.Join(c.did, "\n"))
			}
		}
	}
	if copies < 1000 {
		t.Errorf("only %d carbons came", copies)
	}
}

func (d *device) presence(xml string) { d.Says(xml) }

func (c *conversation) step(n int) {
	d := c.devices[c.rnd.IntN(3)]
	id := fmt.Sprint("m", n)
	say := func(who *routertest.Actor, to string) {
		c.said = append(c.said, id)
		c.did = append(c.did, fmt.Sprintf("%s: %s to %s", who.JID(), id, to))
		who.Sends(fmt.Sprintf("<message to='%s' id='%s' type='chat'><body>x</body></message>", to, id))
	}
	romeo := []string{"romeo@example.com", "romeo@example.com/0", "romeo@example.com/1", "romeo@example.com/2", "romeo@example.com/gone"}
	juliet := []string{"juliet@example.com", "juliet@example.com/0", "juliet@example.com/1", "juliet@example.com/gone"}
	switch k := c.rnd.IntN(12); {
	case k < 4:
		say(c.other[c.rnd.IntN(2)], romeo[c.rnd.IntN(len(romeo))])
	case k < 7:
		d.shows = append(d.shows, id) // it has said it
		say(d.Actor, juliet[c.rnd.IntN(len(juliet))])
	case k < 8:
		d.shows = append(d.shows, id)
		say(d.Actor, romeo[c.rnd.IntN(len(romeo))])
	default:
		p := []string{"<presence/>", "<presence><priority>-1</priority></presence>", "<presence type='unavailable'/>"}[c.rnd.IntN(3)]
		c.did = append(c.did, fmt.Sprint(d.JID(), ": ", p))
		d.presence(p)
	}
}

// listen has every device show what has come. One that said a message knows it already.
func (c *conversation) listen() {
	for _, d := range c.devices {
		for st := d.Hears(); st != nil; st = d.Hears() {
			if st.Kind == xmpp.IQ {
				d.Says(xmpp.Result(st, nil).String())
			}
			if st.Kind != xmpp.Message {
				continue
			}
			id, carbon := unwrap(c.t, st)
			if carbon {
				d.carbons++
			}
			if !carbon && st.From == d.JID() {
				continue // its own note to itself
			}
			d.shows = append(d.shows, id)
		}
	}
	for _, a := range c.other {
		a.Forgets()
	}
}

// TestNothingIsSaidTwice has all of them talk at the same time, some to be kept and some
// not, while devices come to take messages and cease to.
func TestNothingIsSaidTwice(t *testing.T) {
	const messages = 400
	h := newHouse(t)
	var all []*talker
	for i, name := range []string{"romeo@example.com/0", "romeo@example.com/1", "romeo@example.com/2", "juliet@example.com/0", "juliet@example.com/1"} {
		full := xmpp.MustJID(name)
		h.Exists(full.Bare())
		p, err := h.Bind(full)
		if err != nil {
			t.Fatal(err)
		}
		w := &talker{t: t, h: h, peer: p, name: name, n: i, heard: map[string]int{}, rnd: rand.New(rand.NewPCG(7, uint64(i)))}
		w.sends(enable)
		all = append(all, w)
	}
	done := make(chan struct{})
	for _, w := range all {
		go func() { w.talk(messages); done <- struct{}{} }()
	}
	for range all {
		<-done
	}
	for _, w := range all {
		w.available(0)
	}
	for _, w := range all {
		h.Barrier()
		w.peer.Session.Flush()
		w.listen()
		w.check(all)
	}
	for _, w := range all {
		w.peer.Sender.Leave("")
	}
}

type talker struct {
	t     *testing.T
	h     *routertest.House
	peer  *routertest.Peer
	name  string
	n     int
	rnd   *rand.Rand
	rd    router.Round
	said  []string
	heard map[string]int
}

func (w *talker) sends(xml string) {
	st, err := xmpp.ParseStanza(xml)
	if err == nil {
		err = w.peer.Sender.Send(w.t.Context(), &w.rd, st)
	}
	if err != nil {
		w.t.Errorf("%s: %v", xml, err)
	}
}

func (w *talker) talk(messages int) {
	for i := range messages {
		to := []string{"romeo@example.com", "juliet@example.com"}[w.rnd.IntN(2)]
		if w.rnd.IntN(2) == 0 {
			to += fmt.Sprint("/", w.rnd.IntN(4)) // there may be none of that name
		}
		id := fmt.Sprintf("%d-%d", w.n, i)
		w.said = append(w.said, id+" "+to)
		w.sends(fmt.Sprintf("<message to='%s' id='%s' type='chat'><body>x</body></message>", to, id))
		if w.rnd.IntN(20) == 0 {
			w.available(w.rnd.IntN(3) - 1)
		}
		if w.rnd.IntN(8) == 0 {
			w.listen()
		}
	}
	w.rd.Flush()
}

// available changes the priority and takes what comes of it, the server's ping included,
// before anything else.
func (w *talker) available(priority int) {
	w.sends(fmt.Sprintf("<presence><priority>%d</priority></presence>", priority))
	w.peer.Session.Flush()
	w.listen()
}

func (w *talker) listen() {
	for st := w.peer.Session.Next(); st != nil; st = w.peer.Session.Next() {
		switch {
		case st.Kind == xmpp.IQ && st.Type == "get":
			w.sends(xmpp.Result(st, nil).String())
		case st.Kind == xmpp.Message && st.Type == "error":
			w.t.Errorf("%s hears %s", w.name, st)
		case st.Kind == xmpp.Message:
			id, _ := unwrap(w.t, st)
			w.heard[id]++
		}
	}
	w.rd.Flush()
}

// check wants every message of or for the account to have come once. What the device has
// said to its own account may have come back to it.
func (w *talker) check(all []*talker) {
	bare := w.peer.Sender.JID().Bare().String()
	for _, from := range all {
		for _, s := range from.said {
			id, to, _ := strings.Cut(s, " ")
			own, mine := from.peer.Sender.JID().Bare().String() == bare, strings.HasPrefix(to, bare)
			n := w.heard[id]
			switch {
			case from == w && (n > 1 || n == 1 && !mine):
				w.t.Errorf("%s hears its own %s %d times", w.name, s, n)
			case from != w && (own || mine) && n != 1, !own && !mine && n != 0:
				w.t.Errorf("%s hears %s of %s %d times", w.name, s, from.name, n)
			}
		}
	}
}

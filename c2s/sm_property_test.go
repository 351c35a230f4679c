package c2s_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/c2s"
	"parley/xmpp/xmpptest"
)

// However often the connection is lost, taken over or closed in the middle of a stanza, each
// message arrives once and in order, in both directions.
func TestExactlyOnce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h, _ := keeping(t, func(p *plan) { p.unarchived = seed%2 == 1 })
			r := &roamer{rnd: rand.New(rand.NewPCG(seed, 198)), managed: h.managed("juliet", "phone"), desk: h.managed("romeo", "desk")}
			for range 120 {
				r.step()
			}
			r.finish()
		})
	}
}

// The same where every connection may be another one: TCP, a WebSocket, requests of BOSH.
func TestExactlyOnceByAllWays(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h, _ := keeping(t, func(p *plan) { p.unarchived = seed%2 == 1 })
			r := &roamer{rnd: rand.New(rand.NewPCG(seed, 7395)), managed: h.managed("juliet", "phone"), desk: h.managed("romeo", "desk")}
			polling := xmpptest.Options{Addr: h.web, Host: host, TLS: h.trust(host), BOSH: "https://" + host + c2s.BOSHPath}
			ways := []xmpptest.Options{h.options(), h.webOptions(), polling, polling}
			r.way = func() *xmpptest.Client { return xmpptest.Dial(t, ways[r.rnd.IntN(len(ways))]) }
			for range 120 {
				r.step()
			}
			r.finish()
		})
	}
}

// A roamer is a client with a bad connection, and the one that it talks to.
type roamer struct {
	*managed
	rnd     *rand.Rand
	desk    *managed
	said    int      // messages that it has sent
	acked   uint32   // of its stanzas
	pending []string // its messages that the server has not acknowledged
	told    int      // messages that the other one has sent
}

func (r *roamer) step() {
	switch r.rnd.IntN(10) {
	case 0, 1, 2:
		for range 1 + r.rnd.IntN(5) {
			say(r.desk.Client, r.JID.String(), fmt.Sprint(r.told))
			r.told++
		}
	case 3, 4:
		for range 1 + r.rnd.IntN(5) {
			r.pending = append(r.pending, fmt.Sprint(r.said))
			say(r.Client, r.desk.JID.String(), fmt.Sprint(r.said))
			r.said++
		}
	case 5:
		for range r.rnd.IntN(8) {
			r.desk.handled()
		}
	case 6:
		r.until(fmt.Sprintf("sync%d", r.rnd.Int()))
	case 7:
		r.confirmed(r.handled())
	case 8:
		if r.way == nil {
			r.Write("<message><body>half of it")
		}
		r.cut()
		r.again()
	case 9:
		if r.rnd.IntN(2) == 0 {
			r.cut()
		}
		r.again()
	}
}

// until reads until an answer comes.
func (r *roamer) until(id string) {
	r.pending = append(r.pending, "")
	r.Say("<iq type='get' id='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", id, host)
	for r.get().ID != id {
	}
}

// confirmed takes what the server has handled off what may have to be said again.
func (r *roamer) confirmed(h uint32) {
	r.pending = r.pending[h-r.acked:]
	r.acked = h
}

// again resumes, and says again what was lost.
func (r *roamer) again() {
	r.confirmed(r.resume())
	for _, body := range r.pending {
		if body == "" {
			r.Say("<iq type='get' id='again' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", host)
			continue
		}
		say(r.Client, r.desk.JID.String(), body)
	}
}

func (r *roamer) finish() {
	t := r.managed.h.t
	t.Helper()
	r.again()
	r.until("last")
	say(r.Client, r.desk.JID.String(), "end")
	say(r.desk.Client, r.JID.String(), "end")
	for _, m := range []*managed{r.managed, r.desk} {
		for !slices.Contains(m.heard, "end") {
			m.get()
		}
	}
	if want := numbers(r.told); !slices.Equal(r.heard, want) {
		t.Errorf("of %d messages it got %v", r.told, r.heard)
	}
	if want := numbers(r.said); !slices.Equal(r.desk.heard, want) {
		t.Errorf("of its %d messages %v came", r.said, r.desk.heard)
	}
}

func numbers(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(i))
	}
	return append(list, "end")
}

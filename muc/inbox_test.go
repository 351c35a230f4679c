package muc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// said is a message of the model: to everybody, or (alone) to one.
type said struct {
	id    string // that the room gave it
	by    int
	alone int // -1: to all
	gone  bool
}

// reader is a member of the model. What is before since was said before it became one; what is
// before read it has read.
type reader struct {
	*routertest.Actor
	member, in  bool
	since, read int
}

// model is what inboxes are to say.
type model struct {
	*world
	rnd  *rand.Rand
	all  []said
	who  []*reader
	some bool // the archive has something
}

// unread is what the inbox of one is to say.
func (m *model) unread(i int) string {
	r, n := m.who[i], 0
	some := m.some && r.member
	for at, s := range m.all {
		switch {
		case s.alone >= 0 && s.alone != i || s.gone:
		case s.alone == i:
			some = true
			if !r.member || at >= r.read {
				n++
			}
		case r.member && at >= r.since && at >= r.read:
			n++
		}
	}
	if !some {
		return ""
	}
	return fmt.Sprint(verona, " ", n)
}

// speaks has one say something in the room, and returns the id that the room gives it.
func (m *model) speaks(i int, inside string) string {
	m.t.Helper()
	m.pass(time.Second) // there is a limit to how fast one may speak
	for _, r := range m.who {
		r.Forgets()
	}
	m.who[i].Sends("<message to='" + verona + "' type='groupchat' id='r'>" + inside + "</message>")
	m.some = true
	id := ""
	for st := m.who[i].Hears(); st != nil; st = m.who[i].Hears() {
		id = st.Child("urn:xmpp:sid:0", "stanza-id").Attr("id")
	}
	m.romeo.Forgets()
	return id
}

func (m *model) step() {
	m.t.Helper()
	i := m.rnd.IntN(len(m.who))
	r := m.who[i]
	at := func() int { return m.rnd.IntN(len(m.all)) }
	switch action := m.rnd.IntN(20); {
	case action < 2 && i > 0:
		was := r.member
		r.member = !was
		m.affiliates(r.JID().Bare().String(), map[bool]string{true: "none", false: "member"}[was])
		if was {
			r.in = false
			return
		}
		r.since = len(m.all)
		m.all = append(m.all, said{alone: i})
	case !r.member:
	case !r.in:
		m.enters(r.Actor, r.JID().Local())
		r.in = true
	case action < 4 && len(m.all) > 0:
		if s := m.all[at()]; s.alone < 0 {
			m.speaks(i, "<displayed xmlns='urn:xmpp:chat-markers:0' id='"+s.id+"'/>")
			for at := range m.all {
				if m.all[at].id == s.id {
					r.read = max(r.read, at+1)
				}
			}
		}
	case action < 6 && len(m.all) > 0:
		if s := &m.all[at()]; s.alone < 0 {
			m.speaks(i, "<retract xmlns='urn:xmpp:message-retract:1' id='"+s.id+"'/>")
			s.gone = s.gone || s.by == i
		}
	case action < 8:
		m.speaks(i, "<composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>")
	default:
		for range 1 + m.rnd.IntN(40) {
			m.all = append(m.all, said{id: m.speaks(i, "<body>x</body>"), by: i, alone: -1})
		}
		r.read = len(m.all)
	}
}

// TestInboxAsModel: whatever people do, each finds in the inbox what it has not read, exactly,
// also where there is so much that it is not counted anew each time.
func TestInboxAsModel(t *testing.T) {
	for range 4 {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		w := newWorld(t, t.TempDir())
		w.found()
		m := &model{world: w, rnd: rand.New(rand.NewPCG(seed, 430))}
		m.who = append(m.who, &reader{Actor: w.romeo, member: true, in: true})
		for _, name := range []string{"juliet", "nurse", "paris"} {
			m.who = append(m.who, &reader{Actor: w.Online(name + "@example.com/x")})
		}
		for n := range 60 {
			m.step()
			for i, r := range m.who {
				if got, want := inbox(r.Actor), m.unread(i); got != want {
					t.Fatalf("step %d, seed %d: %s has %q, instead of %q", n, seed, r.JID(), got, want)
				}
			}
		}
	}
}

// TestInboxAfterTheRoom: what is kept of a member's reading goes with the room, and with the
// account.
func TestInboxAfterTheRoom(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.found("juliet@example.com")
	juliet := w.Online("juliet@example.com/x")
	w.enters(juliet, "Juliet")
	for range 3 {
		w.says("x")
		juliet.Sends("<message to='" + verona + "' type='groupchat'><body>y</body></message>")
	}
	rows := func() (n int) {
		err := w.Store.Read(context.Background(), func(tx *storage.Tx) error {
			_, err := tx.One(`select count(*) from seen where peer < 0`, nil, &n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows of two readers", n)
	}
	w.says("z")
	if got := inbox(juliet); got != verona+" 1" {
		t.Errorf("%s", got)
	}
	if err := w.rooms.Destroy(xmpp.MustJID(verona), xmpp.JID{}, ""); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows are left of a room that is no more", n)
	}
	if got := inbox(w.romeo); got != "" {
		t.Errorf("the inbox has %q", got)
	}
}

package roster

import (
	"context"
	"fmt"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// A stage is a house with a roster, and what its tests look at.
type stage struct {
	*routertest.House
	t testing.TB
}

func newStage(t testing.TB) *stage { return &stage{routertest.New(t, New()), t} }

// state reads the state of a contact from the disk.
func (s *stage) state(user, contact string) (st state, approved bool) {
	s.t.Helper()
	id := s.Dir.Add(xmpp.MustJID(user))
	jid := xmpp.MustJID(contact)
	err := s.Store.Read(context.Background(), func(tx *storage.Tx) error {
		it, _, err := item(tx, id, jid)
		if err != nil {
			return err
		}
		asked, err := requested(tx, id, jid)
		if it.Subscription == "" {
			it.Subscription = "none"
		}
		st, approved = stateOf(it.Subscription, it.Ask, asked), it.Approved
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return st, approved
}

// comes delivers a stanza from another domain.
func (s *stage) comes(from, to string, v verb) {
	var rd router.Round
	s.Router.Deliver(&rd, presenceOf(v.String(), "x", xmpp.MustJID(from), xmpp.MustJID(to)))
	rd.Flush()
	s.Settle()
}

// A word is one stanza on the way into a state: said by the user, or by the contact.
type word struct {
	user bool
	verb verb
}

// ways lead from none into every state.
var ways = [states][]word{
	none:             nil,
	nonePendingOut:   {{true, subscribe}},
	nonePendingIn:    {{false, subscribe}},
	nonePendingOutIn: {{true, subscribe}, {false, subscribe}},
	to:               {{true, subscribe}, {false, subscribed}},
	toPendingIn:      {{true, subscribe}, {false, subscribed}, {false, subscribe}},
	from:             {{false, subscribe}, {true, subscribed}},
	fromPendingOut:   {{false, subscribe}, {true, subscribed}, {true, subscribe}},
	both:             {{false, subscribe}, {true, subscribed}, {true, subscribe}, {false, subscribed}},
}

// TestEveryRow takes a user into every state, with a contact of this house and with one of
// another, and has each say every verb: the state is what appendix A says, and the stanza
// is heard where it says so.
func TestEveryRow(t *testing.T) {
	rows := readAppendix(t)
	s := newStage(t)
	n := 0
	for _, r := range rows {
		for _, remote := range []bool{false, true} {
			n++
			user := fmt.Sprintf("romeo%d@example.com", n)
			contact := fmt.Sprintf("juliet%d@example.com", n)
			if remote {
				contact = fmt.Sprintf("juliet%d@elsewhere.example", n)
			}
			if !remote && !r.out && !reaches(r) {
				continue // the contact's own side does not let it out
			}
			s.row(t, r, user, contact, remote)
		}
	}
}

// reaches reports whether a contact of this house can send the stanza: its own state is the
// mirror of the user's.
func reaches(r reading) bool {
	a := outbound[r.verb][mirror(r.was)].act
	return a == pass
}

// mirror is the state of the contact's side.
func mirror(s state) state {
	m := none
	for c := none; c < states; c++ {
		if c.seesContact() == s.seenByContact() && c.seenByContact() == s.seesContact() &&
			c.pendingIn() == s.pendingOut() && c.pendingOut() == s.pendingIn() {
			m = c
		}
	}
	return m
}

func (s *stage) row(t *testing.T, r reading, user, contact string, remote bool) {
	t.Helper()
	u := s.Online(user + "/a")
	u.Does("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	var c *routertest.Actor
	if !remote {
		c = s.Online(contact + "/b")
		c.Does("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
	}
	say := func(w word) {
		switch {
		case w.user:
			u.Sends(fmt.Sprintf("<presence type='%s' id='x' to='%s'/>", w.verb, contact))
		case remote:
			s.comes(contact, user, w.verb)
		default:
			c.Sends(fmt.Sprintf("<presence type='%s' id='x' to='%s'/>", w.verb, user))
		}
	}
	for _, w := range ways[r.was] {
		say(w)
	}
	what := fmt.Sprintf("out=%v remote=%v %s in state %d", r.out, remote, r.verb, r.was)
	if got, _ := s.state(user, contact); got != r.was {
		t.Fatalf("%s: the way leads to state %d", what, got)
	}
	u.Forgets()
	if c != nil {
		c.Forgets()
	}
	say(word{r.out, r.verb})
	got, approved := s.state(user, contact)
	if got != r.next || approved != (r.act() == approve) {
		t.Errorf("%s: state %d (approved %v) instead of %d", what, got, approved, r.next)
	}
	if !remote {
		if got, _ := s.state(contact, user); got != mirror(r.next) {
			t.Errorf("%s: the contact's state is %d instead of %d", what, got, mirror(r.next))
		}
	}
	listener, wants := u, r.pass
	if r.out {
		m := inbound[r.verb][mirror(r.was)].act
		listener, wants = c, r.pass && (m == pass || m == release)
	}
	if listener != nil {
		if heard := hears(listener, r.verb); heard != wants {
			t.Errorf("%s: heard is %v", what, heard)
		}
	}
	u.Leaves()
	if c != nil {
		c.Leaves()
	}
}

// hears reports whether a stanza of that type has come.
func hears(a *routertest.Actor, v verb) (found bool) {
	for {
		st := a.Hears()
		if st == nil {
			return found
		}
		found = found || st.Kind == xmpp.Presence && st.Type == v.String() && st.ID == "x" && st.From.IsBare() && st.To == a.JID().Bare()
	}
}

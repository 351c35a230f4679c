package roster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
)

// The people of the random conversations.
var randomPeople = []string{"a@example.com", "b@example.com", "c@example.net"}

// A view is what one resource knows of others from the presence that it was sent.
type view struct {
	actor *routertest.Actor
	sees  map[xmpp.JID]bool
}

// play has somebody do something at random.
type play struct {
	*stage
	rnd   *rand.Rand
	there map[string]*view // by full JID
	log   []string
}

// TestRandom has users come, go, subscribe, and forget each other at random. After each
// step the two sides of every subscription agree, and every resource knows exactly the
// available resources of those whom it may see.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		p := &play{stage: newStage(t), rnd: rand.New(rand.NewPCG(seed, 0)), there: map[string]*view{}}
		for range 60 {
			p.step()
			p.listen()
			if why := p.wrong(); why != "" {
				t.Fatalf("seed %d: %s after\n%q", seed, why, p.log)
			}
		}
	}
}

func (p *play) step() {
	user, contact := p.rnd.IntN(3), p.rnd.IntN(2)
	if contact >= user {
		contact++
	}
	full := fmt.Sprintf("%s/%d", randomPeople[user], p.rnd.IntN(2))
	v := p.there[full]
	if v == nil {
		p.log = append(p.log, full+" comes")
		p.there[full] = &view{p.Online(full), map[xmpp.JID]bool{}}
		return
	}
	with := randomPeople[contact]
	var say string
	switch n := p.rnd.IntN(20); {
	case n == 0:
		p.log = append(p.log, full+" leaves")
		delete(p.there, full)
		v.actor.Leaves()
		return
	case n == 1:
		say = "<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + with + "' subscription='remove'/></query></iq>"
	case n == 2:
		say = "<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + with + "' name='x'/></query></iq>"
	case n == 3:
		say = "<presence type='probe' to='" + with + "'/>"
	case n == 4:
		say = "<presence><show>away</show></presence>"
	default:
		say = fmt.Sprintf("<presence type='%s' to='%s'/>", verb(n%verbs), with)
	}
	p.log = append(p.log, full+": "+say)
	v.actor.Sends(say)
}

// listen takes what has come.
func (p *play) listen() {
	for _, v := range p.there {
		for st := v.actor.Hears(); st != nil; st = v.actor.Hears() {
			if st.Kind == xmpp.Presence && !st.From.IsBare() && (st.Type == "" || st.Type == "unavailable") {
				v.sees[st.From] = st.Type == ""
			}
		}
	}
}

// wrong says what is not as it must be, "" where all is.
func (p *play) wrong() string {
	states := map[[2]string]state{}
	for _, u := range randomPeople {
		for _, c := range randomPeople {
			states[[2]string{u, c}], _ = p.state(u, c)
		}
	}
	for pair, s := range states {
		if m := states[[2]string{pair[1], pair[0]}]; m != mirror(s) {
			return fmt.Sprintf("%s has state %d, the other side %d", pair, s, m)
		}
	}
	for full, v := range p.there {
		for other := range p.there {
			from, user := xmpp.MustJID(other), xmpp.MustJID(full).Bare()
			may := from.Bare() == user || states[[2]string{user.String(), from.Bare().String()}].seesContact()
			if v.sees[from] != may {
				return fmt.Sprintf("%s sees %s: %v", full, other, !may)
			}
		}
		for other, seen := range v.sees {
			if seen && p.there[other.String()] == nil {
				return fmt.Sprintf("%s still sees %s", full, other)
			}
		}
	}
	return ""
}

package roster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/xmpp"
)

// A side is what RFC 6121 says of one user's relation to the other, written from the words
// of §3 and §A.1 and not from the tables of the code: four facts instead of nine states.
type side struct {
	sees     bool // subscribed to the other's presence
	seen     bool // the other is subscribed to this one's
	asks     bool // has asked, and was not answered
	asked    bool // was asked, and has not answered
	approved bool // answers before it is asked (§3.4)
}

// A model is two users, and who of their resources is there.
type model struct {
	side  [2]side
	there [2]map[string]bool
	heard [2][]string // subscription stanzas that the users' resources were shown by this step
}

// says is what one user's stanza does to both.
func (m *model) says(u int, verb string) {
	me, other := &m.side[u], &m.side[1-u]
	switch verb {
	case "subscribe":
		me.asks = me.asks || !me.sees
		switch {
		case other.seen: // §3.1.3, third rule: answered for the contact
			m.granted(u)
		case other.approved: // §3.4.2
			other.seen, other.asked = true, false
			m.granted(u)
		case !other.asked:
			other.asked = true
			m.heard[1-u] = append(m.heard[1-u], verb)
		}
	case "unsubscribe": // §3.3
		me.sees, me.asks = false, false
		if other.seen || other.asked {
			other.seen, other.asked = false, false
			m.heard[1-u] = append(m.heard[1-u], verb)
		}
	case "subscribed":
		switch {
		case me.asked: // §3.1.5
			me.asked, me.seen = false, true
			m.granted(1 - u)
		case !me.seen: // §3.4.2
			me.approved = true
		}
	case "unsubscribed": // §3.2, and §3.4.3 for the approval
		me.approved = false
		if me.seen || me.asked {
			me.seen, me.asked = false, false
			m.withdrawn(1 - u)
		}
	}
}

// granted is "subscribed" as it reaches a user (§3.1.6): who has not asked does not hear it.
func (m *model) granted(u int) {
	if me := &m.side[u]; me.asks {
		me.asks, me.sees = false, true
		m.heard[u] = append(m.heard[u], "subscribed")
	}
}

// withdrawn is "unsubscribed" as it reaches a user (§3.2.3).
func (m *model) withdrawn(u int) {
	if me := &m.side[u]; me.asks || me.sees {
		me.asks, me.sees = false, false
		m.heard[u] = append(m.heard[u], "unsubscribed")
	}
}

// removes is the removal of the other from the roster (§2.5.2). Where nothing is listed
// (§A.1: also where all there is is the other's request) nothing happens.
func (m *model) removes(u int) {
	was := m.side[u]
	if was.sees || was.asks {
		m.says(u, "unsubscribe")
	}
	if was.seen {
		m.says(u, "unsubscribed")
	}
	m.side[u].approved = false
}

// theatre plays the model's steps in a house.
type theatre struct {
	*model
	*stage
	rt    *rapid.T
	users [2]string
	here  [2]map[string]*view
	log   []string
}

// TestModel has two users, of one domain and of two, do at random what RFC 6121 lets them,
// from several resources that come, go and get lost. After each step both rosters are what
// the model says, every resource has been shown what it says, and sees whom it says.
func TestModel(t *testing.T) {
	for name, hosts := range map[string][2]string{
		"one host":  {"example.com", "example.com"},
		"two hosts": {"example.com", "example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			house, n := newStage(t), 0
			rapid.Check(t, func(rt *rapid.T) {
				n++ // others each time, in the one house
				users := [2]string{fmt.Sprintf("romeo%d@%s", n, hosts[0]), fmt.Sprintf("juliet%d@%s", n, hosts[1])}
				p := &theatre{model: &model{}, stage: house, rt: rt, users: users}
				for u := range users {
					p.Exists(xmpp.MustJID(users[u]))
					p.there[u], p.here[u] = map[string]bool{}, map[string]*view{}
				}
				rt.Repeat(map[string]func(*rapid.T){"step": p.step})
				for u := range users {
					for name := range p.here[u] {
						p.leave(u, name, false)
					}
				}
			})
		})
	}
}

func (p *theatre) step(rt *rapid.T) {
	p.rt = rt
	p.heard = [2][]string{}
	u := rapid.IntRange(0, 1).Draw(rt, "user")
	name := rapid.SampledFrom([]string{"desk", "phone"}).Draw(rt, "resource")
	v := p.here[u][name]
	if v == nil {
		p.come(u, name)
		return
	}
	other := p.users[1-u]
	does := rapid.SampledFrom([]string{"subscribe", "subscribe", "subscribed", "subscribed", "unsubscribe", "unsubscribed",
		"remove", "rename", "leave", "lose", "hide"}).Draw(rt, "does")
	p.log = append(p.log, p.users[u]+"/"+name+" "+does)
	switch does {
	case "remove":
		listed := p.listed(u)
		v.actor.Says("<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + other + "' subscription='remove'/></query></iq>")
		if listed {
			p.removes(u)
		}
	case "rename":
		v.actor.Says("<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item jid='" + other + "' name='x'/></query></iq>")
	case "leave", "lose":
		p.leave(u, name, does == "lose")
	case "hide": // and come back: nothing changes but who sees whom meanwhile
		v.actor.Says("<presence type='unavailable'/>")
		p.there[u][name] = false
		p.check()
		v.sees = map[xmpp.JID]bool{}
		p.heard = [2][]string{}
		v.actor.Says("<presence/>")
		p.came(u, name)
	default:
		v.actor.Says(fmt.Sprintf("<presence type='%s' to='%s'/>", does, other))
		p.says(u, does)
	}
	p.check()
}

// listed reports whether the other stands in the user's roster.
func (p *theatre) listed(u int) bool {
	v := p.ask(u)
	return strings.Contains(v, "jid='"+p.users[1-u]+"'") || strings.Contains(v, `jid="`+p.users[1-u]+`"`)
}

// ask reads the user's roster over a connection of its own that is never available.
func (p *theatre) ask(u int) string {
	a := p.Connected(p.users[u] + "/asks")
	defer a.Leaves()
	a.Says("<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>")
	return a.Hears().String()
}

func (p *theatre) come(u int, name string) {
	p.log = append(p.log, p.users[u]+"/"+name+" comes")
	a := p.Connected(p.users[u] + "/" + name)
	p.here[u][name] = &view{a, map[xmpp.JID]bool{}}
	a.Says("<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>")
	a.Hears()
	a.Says("<presence/>")
	p.came(u, name)
	p.check()
}

// came notes what somebody hears who has come: the request that was not answered (§3.1.3).
func (p *theatre) came(u int, name string) {
	if p.side[u].asked {
		got := p.listen(p.here[u][name])
		if !slices.Equal(got, []string{"subscribe"}) {
			p.rt.Fatalf("%s/%s hears %q of what it was asked, after\n%q", p.users[u], name, got, p.log)
		}
	}
	p.there[u][name] = true
}

func (p *theatre) leave(u int, name string, lost bool) {
	v := p.here[u][name]
	if lost {
		v.actor.Peer().Session.Close()
	}
	v.actor.Leaves()
	delete(p.here[u], name)
	delete(p.there[u], name)
}

// listen takes what has come for a resource, and returns the subscription stanzas.
func (p *theatre) listen(v *view) (heard []string) {
	for st := v.actor.Hears(); st != nil; st = v.actor.Hears() {
		switch {
		case st.Kind != xmpp.Presence:
		case st.Type == "" || st.Type == "unavailable":
			if !st.From.IsBare() {
				v.sees[st.From] = st.Type == ""
			}
		case st.From.IsBare() && st.To.IsBare():
			heard = append(heard, st.Type)
		default:
			p.rt.Fatalf("a %s from %s to %s, after\n%q", st.Type, st.From, st.To, p.log)
		}
	}
	return heard
}

// check compares the house with the model.
func (p *theatre) check() {
	for u, want := range p.side {
		s, approved := p.state(p.users[u], p.users[1-u])
		got := side{s.seesContact(), s.seenByContact(), s.pendingOut(), s.pendingIn(), approved}
		if got != want {
			p.rt.Fatalf("%s: %+v instead of %+v after\n%q", p.users[u], got, want, p.log)
		}
		for name, v := range p.here[u] {
			if heard := p.listen(v); !slices.Equal(heard, p.heard[u]) && (p.there[u][name] || len(heard) > 0) {
				p.rt.Fatalf("%s/%s is shown %q instead of %q after\n%q", p.users[u], name, heard, p.heard[u], p.log)
			}
			if !p.there[u][name] {
				continue
			}
			for _, other := range []int{u, 1 - u} {
				for _, res := range slices.Sorted(maps.Keys(p.here[other])) {
					may := p.there[other][res] && (other == u || want.sees && p.side[other].seen)
					if who := xmpp.MustJID(p.users[other] + "/" + res); v.sees[who] != may {
						p.rt.Fatalf("%s/%s sees %s: %v, after\n%q", p.users[u], name, who, !may, p.log)
					}
				}
			}
		}
	}
}

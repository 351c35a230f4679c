//go:build interop

package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
)

// many is how many messages the tests of interrupted streams send.
const many = 1000

// saysMany sends numbered messages without waiting for anything, and returns when the server
// has taken all of them.
func (p *citizen) saysMany(to xmpp.JID) {
	p.t.Helper()
	for i := range many {
		p.says("<message type='chat' to='%s' id='many-%d'><body>Number %d of many</body></message>", to, i, i)
	}
	p.says("<iq type='get' to='%s' id='taken'><ping xmlns='urn:xmpp:ping'/></iq>", p.jid.Domain())
	p.hears("<iq", "id='taken'")
}

// hearsMany takes numbered messages until all have come, and how often each has come within
// a moment after that. What is missing fails the test, as an error does that came to from for
// one of them; so does, if inOrder is set, one that comes before an earlier one has come.
func (p *citizen) hearsMany(within time.Duration, inOrder bool) (times [many]int) {
	p.t.Helper()
	seen, highest, late := 0, -1, time.After(within)
	var moment <-chan time.Time
	for {
		select {
		case st, ok := <-p.in:
			if !ok {
				p.t.Fatalf("%s: the stream ended after %d of %d messages", p.jid, seen, many)
			}
			i, ok := numberOf(st)
			if !ok {
				p.had = append(p.had, st)
				continue
			}
			if times[i]++; times[i] > 1 {
				continue
			}
			if i < highest && inOrder {
				p.t.Errorf("%s: message %d came after message %d", p.jid, i, highest)
			}
			highest = max(highest, i)
			if seen++; seen == many {
				moment = time.After(time.Second)
			}
		case <-moment:
			return times
		case <-late:
			p.t.Fatalf("%s: only %d of %d messages came in %s, without %s, and\n%s", p.jid, seen, many, within, missing(times), p.heard())
		}
	}
}

// missing names the first messages that have not come.
func missing(times [many]int) string {
	var list []string
	for i, n := range times {
		if n == 0 && len(list) < 10 {
			list = append(list, strconv.Itoa(i))
		}
	}
	return strings.Join(list, ", ")
}

// count is how many messages came so often.
func count(times [many]int, often int) (n int) {
	for _, t := range times {
		if t == often {
			n++
		}
	}
	return n
}

// numberOf is the number of one of many messages.
func numberOf(st *xmpp.Stanza) (int, bool) {
	number, ok := strings.CutPrefix(st.ID, "many-")
	i, err := strconv.Atoi(number)
	return i, ok && err == nil && i < many && st.Type != "error"
}

// The link is cut three times in the middle of many messages from Parley. Each arrives, in
// order: once where the other side takes up a stream that broke, as Parley does. Prosody
// acknowledges and does not resume, and ejabberd answers pings only: the last come again to
// them. What strangers lose docs/federation-peers.md tells. So it is also where nothing is archived,
// and messages to who acknowledges are written only while the link is down.
func TestInteropFederationCut(t *testing.T) {
	t.Run("archived", func(t *testing.T) { cutsMany(t, "") })
	t.Run("unarchived", func(t *testing.T) { cutsMany(t, "[archive]\ndefault = \"never\"\n") })
}

func cutsMany(t *testing.T, tables string) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := func(server string) vhost {
		return vhost{domain: server + ".example", cred: ca.issue(server+".example", leaf{}), sm: true}
	}
	prosody := startProsody(t, names, ca, nil, host("prosody"))
	ejabberd := startEjabberd(t, names, ca, host("ejabberd"))
	parley := startFederated(t, names, ca, federation{hosts: []vhost{host("parley")}, tables: tables})
	parley2 := startFederated(t, names, ca, federation{hosts: []vhost{host("parley2")}, tables: tables})
	names.serves("parley.example", "xmpp-server", parley.s2s)
	for _, c := range []struct {
		name, s2s string
		comes     func(t testing.TB, name, domain string) *citizen
		resumes   bool
	}{
		{"prosody", prosody.s2s, prosody.comes, false},
		{"ejabberd", ejabberd.s2s, ejabberd.comes, false},
		{"parley2", parley2.s2s, parley2.comes, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cut := newWire(t, c.s2s)
			names.serves(c.name+".example", "xmpp-server", cut.addr)
			juliet, romeo := parley.comes(t, "juliet", "parley.example"), c.comes(t, "romeo", c.name+".example")
			exchange(t, juliet, romeo)
			cut.cutEvery(40_000, 3)
			juliet.saysMany(romeo.jid)
			times := romeo.hearsMany(2*time.Minute, true)
			if n := cut.cutsLeft(); n != 0 {
				t.Errorf("the link was cut %d times too few", n)
			}
			switch n := many - count(times, 0) - count(times, 1); {
			case n > 0 && c.resumes:
				t.Errorf("%d messages came more than once", n)
			case n > 0:
				t.Logf("%d messages came more than once", n)
			}
			if st := juliet.hearsWithin(0, "type='error'"); st != nil {
				t.Errorf("an error came: %s", st)
			}
		})
	}
}

// Many messages wait for each of three domains that are down, the server is killed and started
// again, the domains come up: all arrive in order.
func TestInteropFederationKilled(t *testing.T) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := func(server string) vhost {
		return vhost{domain: server + ".example", cred: ca.issue(server+".example", leaf{}), sm: true}
	}
	prosody := startProsody(t, names, ca, nil, host("prosody"))
	ejabberd := startEjabberd(t, names, ca, host("ejabberd"))
	parley := startFederated(t, names, ca, federation{hosts: []vhost{host("parley")}})
	parley2 := startFederated(t, names, ca, federation{hosts: []vhost{host("parley2")}})
	names.serves("parley.example", "xmpp-server", parley.s2s)
	places := []struct {
		name, s2s string
		comes     func(t testing.TB, name, domain string) *citizen
		wire      *wire
	}{
		{"prosody", prosody.s2s, prosody.comes, nil},
		{"ejabberd", ejabberd.s2s, ejabberd.comes, nil},
		{"parley2", parley2.s2s, parley2.comes, nil},
	}
	var romeos []*citizen
	juliet := parley.comes(t, "juliet", "parley.example")
	for i, p := range places {
		places[i].wire = newWire(t, "") // that leads nowhere
		names.serves(p.name+".example", "xmpp-server", places[i].wire.addr)
		romeo := p.comes(t, "romeo", p.name+".example")
		romeos = append(romeos, romeo)
		juliet.saysMany(romeo.jid.Bare())
	}
	parley.crash()
	for i, p := range places {
		p.wire.leads(places[i].s2s)
	}
	parley.start()
	for i, p := range places {
		t.Run(p.name, func(t *testing.T) {
			romeos[i].t = t
			if n := many - count(romeos[i].hearsMany(2*time.Minute, true), 1); n > 0 {
				t.Errorf("%d messages came more than once", n)
			}
		})
	}
	juliet = parley.comes(t, "juliet", "parley.example")
	exchange(t, juliet, romeos[0])
	if st := juliet.hearsWithin(0, "type='error'"); st != nil {
		t.Errorf("an error came for what has arrived: %s", st)
	}
}

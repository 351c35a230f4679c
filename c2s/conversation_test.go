package c2s_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// TestOneConversation: three devices of juliet's, as different as clients are, and romeo say
// things, come, go, are cut off, resume or begin anew, look away, change their priority and
// read the archive, at random. In the end all of them show the same conversation in the same
// order, and each message in it once, under one id.
func TestOneConversation(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := talk(t, seed)
			for range 250 {
				c.check(c.screens[c.rnd.IntN(len(c.screens))].step())
			}
			c.finish()
			if t.Failed() {
				c.explain()
			}
		})
	}
}

// A conversation is what everybody has said, and the screens that show it.
type conversation struct {
	t       *testing.T
	rnd     *rand.Rand
	screens []*screen
	serial  int
	said    map[string]*saying
	ids     map[string]string // account and message -> id in its archive, and the other way round
}

// A saying is a message.
type saying struct {
	by      *screen
	n       int
	handled bool
	maybe   bool // its sender does not know, and does not say it again
}

// A screen is a device with what it shows: as far as it has read the archive in the order of
// that, and what came since.
type screen struct {
	xmpptest.Device
	*conversation
	user, name string
	silent     bool // it is not here for messages
	n          int
	shown      []string        // ids in the archive, up to where it has read it
	synced     string          // the last of them
	seen       map[string]bool // ids that it shows
	came       []string        // ids, as they came in this session, by themselves
	twice      map[string]bool // messages that came so in this session
	read       []string        // ids of the pages that are just being read
}

func talk(t *testing.T, seed uint64) *conversation {
	h := open(t, func(p *plan) { p.waiting = 10_000 })
	h.account("juliet", "romeo")
	c := &conversation{t: t, rnd: rand.New(rand.NewPCG(seed, 313)), said: map[string]*saying{}, ids: map[string]string{}}
	for _, s := range []*screen{
		{user: "juliet", name: "old"},
		{user: "juliet", name: "desk", Device: xmpptest.Device{SM: true}},
		{user: "juliet", name: "phone", Device: xmpptest.Device{SM: true, Carbons: true, Login: xmpptest.Login{SASL2: true}}},
		{user: "romeo", name: "romeo", Device: xmpptest.Device{SM: true}},
	} {
		s.conversation = c
		s.Options, s.Agent = h.options(), "d4565fa7-4d72-4749-b3d3-740edbf87770"
		s.Login.User, s.Login.Password, s.Login.Resource = s.user, password, s.name
		s.seen = map[string]bool{}
		s.Hear, s.Handled = s.hears, func(id string) { c.said[id].handled = true }
		c.screens = append(c.screens, s)
		t.Cleanup(s.Drop)
	}
	return c
}

func (c *conversation) check(err error) {
	c.t.Helper()
	if err == nil {
		return
	}
	c.explain()
	c.t.Fatal(err)
}

func (c *conversation) explain() {
	for _, s := range c.screens {
		c.t.Logf("what %s last wrote and read:\n%s", s.name, s.Trail())
	}
}

// step does one thing that a client does.
func (s *screen) step() error {
	if !s.Online() {
		return s.comes(s.rnd.IntN(4) == 0)
	}
	switch n := s.rnd.IntN(20); {
	case n < 7:
		return s.says(1 + s.rnd.IntN(3))
	case n < 10:
		return s.Take(time.Duration(s.rnd.IntN(4)) * time.Millisecond)
	case n < 12:
		return s.Sync()
	case n < 14:
		return s.reads()
	case n == 14:
		return s.Nonza("<inactive xmlns='urn:xmpp:csi:0'/>")
	case n == 15:
		return s.Nonza("<active xmlns='urn:xmpp:csi:0'/>")
	case n == 16:
		return s.Presence(s.rnd.IntN(3) - 1)
	case n == 17 && s.rnd.IntN(3) == 0:
		return s.Say("<presence type='unavailable'/>")
	case n == 18 && s.rnd.IntN(3) == 0:
		s.lets()
		return s.Leave()
	default:
		s.lets()
		s.Drop()
		return nil
	}
}

// lets notes what a device without stream management does not know of when it goes.
func (s *screen) lets() {
	if !s.SM {
		for _, id := range s.Pending() {
			s.said[id].maybe = true
		}
	}
}

// comes connects, and does what clients do first in a session: they read what is new in the
// archive.
func (s *screen) comes(afresh bool) error {
	resumed, err := s.Connect(afresh)
	if err != nil || resumed {
		return err
	}
	s.came, s.twice = nil, map[string]bool{}
	if err := s.reads(); err != nil || s.rnd.IntN(8) == 0 {
		return err
	}
	return s.Presence(0)
}

// says says something to the other side, to all devices or one.
func (s *screen) says(n int) error {
	for range n {
		to := "romeo@" + host
		if s.user == "romeo" {
			to = "juliet@" + host
		}
		if other := s.screens[s.rnd.IntN(len(s.screens))]; other.user != s.user && other.JID().Resource() != "" && s.rnd.IntN(3) == 0 {
			to = other.JID().String()
		}
		s.n++
		s.serial++
		id := fmt.Sprintf("%s-%d", s.name, s.serial)
		s.said[id] = &saying{by: s, n: s.n}
		if err := s.Message(id, fmt.Sprintf("<message type='chat' id='%s' to='%s'><body>%[1]s</body></message>", id, to)); err != nil {
			return err
		}
	}
	return nil
}

// hears takes a message as a client does, and judges it.
func (s *screen) hears(h *xmpptest.Heard) {
	if s.said[h.ID] == nil || h.Body != h.ID || h.Archived == "" {
		s.t.Errorf("%s: nobody said that, or it has no id: %s", s.name, h.XML)
		return
	}
	for key, is := range map[string]string{s.user + h.ID: h.Archived, s.user + h.Archived: h.ID} {
		if was, ok := s.ids[key]; ok && was != is {
			s.t.Errorf("%s: %s is %s and %s: %s", s.name, key, was, is, h.XML)
		}
		s.ids[key] = is
	}
	s.seen[h.Archived] = true
	if h.Way == xmpptest.Result {
		s.read = append(s.read, h.Archived)
		return
	}
	if s.twice[h.ID] {
		s.t.Errorf("%s: this comes twice in one session: %s", s.name, h.XML)
	}
	s.twice[h.ID] = true
	if !h.Delayed {
		s.came = append(s.came, h.Archived)
	}
}

// reads reads what is new in the archive.
func (s *screen) reads() (err error) {
	s.read = nil
	s.synced, err = s.CatchUp(s.synced, 1+s.rnd.IntN(20))
	s.shown = append(s.shown, s.read...)
	if n := len(s.shown); n > 0 {
		s.synced = s.shown[n-1] // of a page that broke off it has a part
	}
	return err
}

// finish has everybody come, and compares what they show.
func (c *conversation) finish() {
	for _, s := range c.screens {
		if !s.Online() {
			c.check(s.comes(false))
		}
		c.check(s.Presence(0))
	}
	for range 2 { // what the first says in its turn the last has in the second
		for _, s := range c.screens {
			c.check(s.Sync())
		}
	}
	for _, s := range c.screens {
		before := len(s.shown)
		known := map[string]bool{}
		for id := range s.seen {
			known[id] = true
		}
		c.check(s.reads())
		if s.Carbons { // it has seen all that came since it began its session
			for _, id := range s.shown[before:] {
				if m := c.ids[s.user+id]; !known[id] && c.said[m].by != s {
					c.t.Errorf("%s was not shown %s", s.name, m)
				}
			}
		}
	}
	c.compare()
}

func (c *conversation) compare() {
	want := c.screens[0].messages()
	for _, s := range c.screens {
		if got := s.messages(); !slices.Equal(got, want) {
			c.t.Errorf("%s shows\n%v, and %s\n%v", s.name, got, c.screens[0].name, want)
		}
		if len(s.seen) != len(s.shown) {
			c.t.Errorf("%s has seen %d messages, and the archive has %d", s.name, len(s.seen), len(s.shown))
		}
		places := map[string]int{}
		for i, id := range s.shown {
			places[id] = i
		}
		if !slices.IsSortedFunc(s.came, func(a, b string) int { return places[a] - places[b] }) {
			c.t.Errorf("%s was not told in the order of the archive: %v", s.name, s.came)
		}
	}
	last, there := map[*screen]int{}, map[string]bool{}
	for _, id := range want {
		m := c.said[id]
		if there[id] || m.n <= last[m.by] {
			c.t.Errorf("%s stands twice, or behind number %d of that device", id, last[m.by])
		}
		last[m.by], there[id] = m.n, true
	}
	for id, m := range c.said {
		if !there[id] && !m.maybe || !m.handled && !m.maybe {
			c.t.Errorf("%s is there: %t, handled: %t", id, there[id], m.handled)
		}
	}
	if len(want) < 30 {
		c.t.Errorf("only %d messages", len(want))
	}
}

// messages names what a screen shows.
func (s *screen) messages() (list []string) {
	for _, id := range s.shown {
		list = append(list, s.ids[s.user+id])
	}
	return list
}

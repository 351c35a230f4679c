package muc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"parley/muc"
	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestPeopleActAtRandom has people do whatever they like in a room: enter, with one session or
// two, leave, change nicknames, write, whisper, kick, ban, give and take roles and affiliations,
// configure, fall off their links, and enter where they are already. Behind each step every
// client that has kept to XEP-0045 must know who is in the room and as what, and nobody must have
// heard what was not for them.
func TestPeopleActAtRandom(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Rate: 1 << 30, RateBytes: 1 << 40, PresenceRate: 1 << 30})
	far := h.Service(far)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		c := newComedy(r, h, far, n)
		defer c.ends()
		for range rapid.IntRange(5, 40).Draw(r, "steps") {
			c.step()
		}
	})
}

// seen is an occupant as a client knows it.
type seen struct{ Role, Affiliation string }

// player is a session, and what a client knows that has heard what it has.
type player struct {
	full, bare string
	actor      *routertest.Actor // nil for who is elsewhere

	in      bool
	nick    string
	knows   map[string]seen // by nickname
	said    []string        // of this step: messages to all
	history []string        // of this step: what it was told that was said before
	whisper []string        // of this step
	other   []*xmpp.Stanza  // of this step: anything else
	text    []string        // of this step: all, as it came
}

// GoString keeps what is drawn short where it is printed.
func (p *player) GoString() string { return p.full }

// comedy is one run.
type comedy struct {
	*rapid.T
	house *routertest.House
	far   *routertest.Actor
	room  string
	all   []*player
	log   []string // all that was said, in the order of the room
	count int
}

const playerNicks = 5

func newComedy(r *rapid.T, h *routertest.House, far *routertest.Actor, n int) *comedy {
	c := &comedy{T: r, house: h, far: far, room: fmt.Sprintf("r%d@conference.example.com", n)}
	for i := range 5 {
		for _, resource := range []string{"x", "y"} {
			p := &player{knows: map[string]seen{}}
			if i < 4 {
				p.bare = fmt.Sprintf("u%dof%d@example.com", i, n)
			} else {
				p.bare = fmt.Sprintf("u%dof%d@far.example", i, n)
			}
			p.full = p.bare + "/" + resource
			if i < 4 {
				p.actor = h.Connected(p.full)
			}
			c.all = append(c.all, p)
		}
	}
	enterRoom(c.all[0].actor, c.room, "N0", "")
	open(c.all[0].actor, c.room)
	for i := range rapid.IntRange(0, 4).Draw(r, "guests") {
		c.enters(c.all[2*i+2], fmt.Sprintf("N%d", i+1))
	}
	h.Settle()
	c.hear()
	return c
}

func (c *comedy) ends() {
	for _, p := range c.all {
		if p.actor == nil {
			c.far.Sends(fmt.Sprintf("<presence from='%s' to='%s/x' type='unavailable'/>", p.full, c.room))
		} else {
			p.actor.Leaves()
		}
	}
	c.far.Forgets()
}

// says has a player send a stanza, which begins with what kind it is.
func (c *comedy) says(p *player, kind, to, rest string) {
	xml := fmt.Sprintf("<%s to='%s' %s", kind, to, rest)
	if p.actor != nil {
		p.actor.Sends(xml)
	} else {
		c.far.Sends(strings.Replace(xml, "<"+kind, "<"+kind+" from='"+p.full+"'", 1))
	}
}

// truth is the room as it is.
func (c *comedy) truth() muc.Info {
	in, err := rooms(c.house).Show(xmpp.MustJID(c.room))
	if err != nil {
		c.Fatalf("the room: %v", err)
	}
	return in
}

func (c *comedy) anyone() *player { return rapid.SampledFrom(c.all).Draw(c.T, "who") }

func (c *comedy) aNick() string {
	return fmt.Sprintf("N%d", rapid.IntRange(0, playerNicks-1).Draw(c.T, "nick"))
}

func (c *comedy) occupant(nick string) string { return c.room + "/" + nick }

// step has somebody do something, and looks at everybody.
func (c *comedy) step() {
	before := c.truth()
	was := map[*player]bool{}
	for _, p := range c.all {
		was[p] = p.in
	}
	p := c.anyone()
	what := rapid.SampledFrom([]string{"enter", "enter", "enter", "again", "leave", "rename", "say", "chorus", "whisper", "kick", "role", "affiliation",
		"affiliation", "configure", "crash", "away", "bounce", "distant"}).Draw(c.T, "what")
	switch what {
	case "kick", "role", "affiliation", "configure": // mostly by one who may
		if rapid.IntRange(0, 2).Draw(c.T, "may") > 0 {
			p = c.all[0]
		}
	}
	c.Logf("%s: %s", p.full, what)
	c.do(what, p)
	c.house.Settle()
	c.hear()
	now := c.truth()
	c.sameLists(now)
	c.sameMessages(what, p, was)
	c.nothingElse(p, was)
	c.whispered(what, p, before)
	c.noAddresses(before, now)
}

func (c *comedy) do(what string, p *player) {
	query := func(ns, content string) {
		c.says(p, "iq", c.room, "type='set' id='q'><query xmlns='http://jabber.org/protocol/muc#"+ns+"'>"+content+"</query></iq>")
	}
	switch what {
	case "enter":
		c.enters(p, c.aNick())
	case "again":
		if p.in {
			c.enters(p, p.nick)
		}
	case "leave":
		c.says(p, "presence", c.occupant("any"), "type='unavailable'/>")
	case "rename":
		c.says(p, "presence", c.occupant(c.aNick()), "/>")
	case "away":
		c.says(p, "presence", c.occupant(orElse(p.nick, "N0")), "><show>away</show></presence>")
	case "say":
		c.says(p, "message", c.room, "type='groupchat'><body>"+c.next()+"</body></message>")
	case "chorus":
		c.chorus()
	case "whisper":
		c.says(p, "message", c.occupant(c.aNick()), "type='chat'><body>"+c.next()+"</body></message>")
	case "kick":
		query("admin", "<item role='none' nick='"+c.aNick()+"'/>")
	case "role":
		role := rapid.SampledFrom([]string{"visitor", "participant", "moderator"}).Draw(c.T, "role")
		query("admin", "<item role='"+role+"' nick='"+c.aNick()+"'/>")
	case "affiliation":
		aff := rapid.SampledFrom([]string{"outcast", "none", "none", "member", "admin", "owner"}).Draw(c.T, "affiliation")
		query("admin", "<item affiliation='"+aff+"' jid='"+c.anyone().bare+"'/>")
	case "configure":
		fields := "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
		for _, name := range []string{"membersonly", "moderatedroom"} {
			fields += fmt.Sprintf("<field var='muc#roomconfig_%s'><value>%d</value></field>", name, rapid.IntRange(0, 1).Draw(c.T, name))
		}
		whois := rapid.SampledFrom([]string{"anyone", "moderators"}).Draw(c.T, "whois")
		fields += "<field var='muc#roomconfig_presencebroadcast'>"
		for _, role := range []string{"moderator", "participant", "visitor"} {
			if rapid.IntRange(0, 3).Draw(c.T, role) > 0 {
				fields += "<value>" + role + "</value>"
			}
		}
		query("owner", "<x xmlns='jabber:x:data' type='submit'>"+fields+"</field><field var='muc#roomconfig_whois'><value>"+whois+"</value></field></x>")
	case "crash":
		if p.actor != nil { // its client says nothing, and comes again at once
			p.actor.Leaves()
			p.actor = c.house.Connected(p.full)
			p.in, p.knows = false, map[string]seen{}
		}
	case "bounce":
		if p.actor == nil {
			c.says(p, "message", c.occupant("any"), "type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
		}
	case "distant":
		c.house.Router.Distant("conference.example.com", far, false)
	}
}

func (c *comedy) enters(p *player, nick string) {
	if p.in && nick == p.nick { // all is told once more
		p.knows = map[string]seen{}
	}
	c.says(p, "presence", c.occupant(nick), "><x xmlns='http://jabber.org/protocol/muc'/></presence>")
}

func (c *comedy) next() string {
	c.count++
	return fmt.Sprintf("m%d", c.count)
}

// chorus has all sessions of this server that are in the room speak at once.
func (c *comedy) chorus() {
	var wait sync.WaitGroup
	for _, p := range c.all {
		if p.actor == nil {
			continue
		}
		lines := []string{c.next(), c.next(), c.next()}
		wait.Go(func() {
			var rd router.Round
			for _, id := range lines {
				st, err := xmpp.ParseStanza("<message to='" + c.room + "' type='groupchat'><body>" + id + "</body></message>")
				if err == nil {
					err = p.actor.Peer().Sender.Send(context.Background(), &rd, st)
				}
				if err != nil {
					c.Errorf("%s cannot speak: %v", p.full, err)
				}
			}
			rd.Flush()
		})
	}
	wait.Wait()
}

// hear has everybody take in what has come.
func (c *comedy) hear() {
	for _, p := range c.all {
		p.said, p.history, p.whisper, p.other, p.text = nil, nil, nil, nil, nil
		for p.actor != nil {
			st := p.actor.Hears()
			if st == nil {
				break
			}
			p.hears(c, st)
		}
	}
	for st := c.far.Hears(); st != nil; st = c.far.Hears() {
		for _, p := range c.all {
			if p.full == st.To.String() || p.bare == st.To.String() {
				p.hears(c, st)
			}
		}
	}
}

func (p *player) hears(c *comedy, st *xmpp.Stanza) {
	p.text = append(p.text, st.String())
	switch {
	case st.From.Bare().String() != c.room:
		c.Errorf("%s hears %s", p.full, st)
	case st.Kind == xmpp.Presence && (st.Type == "" || st.Type == "unavailable"):
		p.sees(st)
	case st.Kind == xmpp.Message && st.Type == "groupchat" && st.Has("", "body") && st.Has(xmpp.NSDelay, "delay"):
		p.history = append(p.history, st.Child("", "body").Text())
	case st.Kind == xmpp.Message && st.Type == "groupchat" && st.Has("", "body"):
		p.said = append(p.said, st.Child("", "body").Text())
	case st.Kind == xmpp.Message && st.Type == "chat":
		p.whisper = append(p.whisper, st.Child("", "body").Text())
	default:
		p.other = append(p.other, st)
	}
}

// sees takes in presence, as clients do.
func (p *player) sees(st *xmpp.Stanza) {
	x := st.Child("http://jabber.org/protocol/muc#user", "x")
	item, codes := x.Child("http://jabber.org/protocol/muc#user", "item"), map[string]bool{}
	for e := range x.Children {
		codes[e.Attr("code")] = true
	}
	nick := st.From.Resource()
	switch {
	case st.Type == "":
		p.knows[nick] = seen{item.Attr("role"), item.Attr("affiliation")}
		if codes["110"] {
			p.in, p.nick = true, nick
		}
	case codes["110"] && !codes["303"]:
		p.in, p.nick, p.knows = false, "", map[string]seen{}
	default:
		delete(p.knows, nick)
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

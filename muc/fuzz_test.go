package muc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/muc"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/mam"
	"parley/xmpp"
)

// phrases are what people say to rooms: ROOM, OTHER, NICK, JID, AFF, ROLE, RAW and ID stand for
// something else each time.
var phrases = []string{
	"<presence to='ROOM/NICK'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
	"<presence to='ROOM/NICK'><x xmlns='http://jabber.org/protocol/muc'><password>RAW</password><history maxstanzas='2' seconds='9' maxchars='99'/></x></presence>",
	"<presence to='ROOM/NICK'><x xmlns='http://jabber.org/protocol/muc'><mav xmlns='urn:xmpp:muc:affiliations:1' since='RAW'/></x></presence>",
	"<presence to='ROOM/NICK'><show>away</show></presence>",
	"<presence to='ROOM/NICK' type='unavailable'><status>RAW</status></presence>",
	"<presence to='ROOM' type='unavailable'/>",
	"<presence to='ROOM/NICK' type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
	"<presence to='ROOM/NICK' type='probe'/>",
	"<presence to='ROOM/NICK'>RAW</presence>",
	"<presence to='DOMAIN'><rai xmlns='urn:xmpp:rai:0'/></presence>",
	"<presence to='DOMAIN' type='unavailable'/>",
	"<message to='ROOM' type='groupchat'><body>RAW</body></message>",
	"<message to='ROOM' type='groupchat'><subject>RAW</subject></message>",
	"<message to='ROOM' type='groupchat'>RAW</message>",
	"<message to='ROOM' type='groupchat'><retract xmlns='urn:xmpp:message-retract:1' id='SAID'/><body>x</body></message>",
	"<message to='ROOM' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='SAID'/></message>",
	"<message to='ROOM/NICK' type='chat' id='m'><body>RAW</body></message>",
	"<message to='ROOM/NICK' type='error' id='m'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
	"<message to='ROOM' type='error' id='m'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
	"<message to='ROOM' id='m'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='JID'><reason>RAW</reason></invite></x></message>",
	"<message to='ROOM' id='m'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='OTHER'/></x></message>",
	"<message to='ROOM' id='m'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='ROOM/NICK'><reason>RAW</reason></decline></x></message>",
	"<message to='ROOM'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value></field></x></message>",
	"<message to='ROOM'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#roomnick'><value>NICK</value></field><field var='muc#request_allow'><value>1</value></field></x></message>",
	"<message to='ROOM'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field><field var='muc#register_jid'><value>JID</value></field><field var='muc#register_roomnick'><value>NICK</value></field><field var='muc#register_allow'><value>1</value></field></x></message>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='AFF' jid='JID'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='AFF' jid='JID' nick='NICK'><reason>RAW</reason></item><item affiliation='AFF' jid='OTHER'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='AFF' nick='NICK'/><item role='ROLE' nick='NICK'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='ROLE' nick='NICK'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='AFF' jid='example.com'/></query></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='AFF'/></query></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='ROLE'/></query></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>FIELD FIELD FIELD</x></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='OTHER'><reason>RAW</reason></destroy></query></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='jabber:iq:register'/></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field><field var='muc#register_roomnick'><value>NICK</value></field></x></query></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='jabber:iq:register'><remove/></query></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
	"<iq ID type='get' to='ROOM'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
	"<iq ID type='get' to='DOMAIN'><query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set></query></iq>",
	"<iq ID type='get' to='ROOM/NICK'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
	"<iq ID type='get' to='ROOM/NICK'><ping xmlns='urn:xmpp:ping'/></iq>",
	"<iq ID type='get' to='ROOM/NICK'><vCard xmlns='vcard-temp'/></iq>",
	"<iq ID type='set' to='ROOM'><vCard xmlns='vcard-temp'><PHOTO><BINVAL>QUFB</BINVAL></PHOTO></vCard></iq>",
	"<iq ID type='get' to='ROOM'><vCard xmlns='vcard-temp'/></iq>",
	"<iq ID type='set' to='ROOM'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>5</max></set></query></iq>",
	"<iq ID type='get' to='ROOM'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
	"<iq ID type='set' to='ROOM'><moderate xmlns='urn:xmpp:message-moderate:1' id='SAID'><retract xmlns='urn:xmpp:message-retract:1'/><reason>RAW</reason></moderate></iq>",
	"<iq ID type='set' to='ROOM'><command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:create'><x xmlns='jabber:x:data' type='submit'><field var='hats#uri'><value>urn:x</value></field><field var='hats#title'><value>RAW</value></field></x></command></iq>",
	"<iq ID type='set' to='ROOM'><command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:assign'><x xmlns='jabber:x:data' type='submit'><field var='hats#uri'><value>urn:x</value></field><field var='hats#jid'><value>JID</value></field></x></command></iq>",
	"<iq ID type='set' to='ROOM'><command xmlns='http://jabber.org/protocol/commands' node='notifications'><x xmlns='jabber:x:data' type='submit'><field var='notify'><value>never</value></field></x></command></iq>",
	"<iq ID type='set' to='ROOM'>RAW</iq>",
	"<iq type='result' id='RAW' to='ROOM/NICK'/>",
}

var formFields = []string{"membersonly 1", "membersonly 0", "moderatedroom 1", "moderatedroom 0", "persistentroom 0", "persistentroom 1", "whois anyone", "whois moderators",
	"passwordprotectedroom 0", "roomsecret x", "maxusers 2", "maxusers none", "enablelogging 0", "enablelogging 1", "slow_mode_duration 1", "presencebroadcast moderator",
	"getmemberlist visitor", "roomadmins juliet@example.com", "roomowners nurse@example.com", "roomname Rose", "allowpm none", "allowinvites 0"}

// party is one run: some people of this server and another one, and two rooms.
type party struct {
	t      *testing.T
	house  *routertest.House
	clock  *clock
	far    *routertest.Actor
	n      int
	script []byte
	raw    string
	people []*routertest.Peer
	away   []string // full addresses elsewhere
	said   string   // an id that a room has given
	asked  map[string]int
	count  int
}

// next draws a number below n from the script.
func (p *party) next(n int) int {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return int(b) % n
}

func (p *party) room(i int) string { return fmt.Sprintf("%c%d@conference.example.com", 'a'+i, p.n) }

func (p *party) pick(list ...string) string { return list[p.next(len(list))] }

// phrase makes one of what there is to say.
func (p *party) phrase(prefix string) string {
	r := p.next(2)
	text := phrases[p.next(len(phrases))]
	for _, w := range []struct {
		word string
		draw func() string
	}{
		{"NICK", func() string { return p.pick("Romeo", "Juliet", "nurse", "N", "ROMEO") }},
		{"JID", func() string {
			return p.pick("romeo@example.com", "juliet@example.com", "nurse@example.com", "a@far.example", "b@far.example", "nobody@example.com")
		}},
		{"AFF", func() string { return p.pick("owner", "admin", "member", "none", "outcast") }},
		{"ROLE", func() string { return p.pick("moderator", "participant", "visitor", "none") }},
		{"FIELD", func() string {
			name, value, _ := strings.Cut(p.pick(formFields...), " ")
			return "<field var='muc#roomconfig_" + name + "'><value>" + value + "</value></field>"
		}},
	} {
		for strings.Contains(text, w.word) {
			text = strings.Replace(text, w.word, w.draw(), 1)
		}
	}
	if strings.Contains(text, " ID ") {
		p.count++
		id := fmt.Sprintf("%sq%d", prefix, p.count)
		text = strings.Replace(text, " ID ", " id='"+id+"' ", 1)
	}
	return strings.NewReplacer("ROOM", p.room(r), "OTHER", p.room(1-r), "DOMAIN", "conference.example.com", "SAID", p.said, "RAW", p.raw).Replace(text)
}

// hears has everybody take in what has come, and answer what is asked.
func (p *party) hears() {
	for _, peer := range p.people {
		for st := peer.Hears(); st != nil; st = peer.Hears() {
			p.heard(st)
			if st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set") {
				p.says(peer, fmt.Sprintf("<iq type='result' id='%s' to='%s'/>", st.ID, escaped(st.From.String())))
			}
		}
	}
	for st := p.far.Hears(); st != nil; st = p.far.Hears() {
		p.heard(st)
		if st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set") {
			back := xmpp.NewStanza(xmpp.IQ, nil)
			back.Type, back.ID, back.From, back.To = "result", st.ID, st.To, st.From
			p.delivers(back)
		}
	}
	p.settles()
}

func escaped(s string) string { return string(xmpp.AppendEscaped(nil, s)) }

func (p *party) heard(st *xmpp.Stanza) {
	if st.Kind == xmpp.IQ && (st.Type == "result" || st.Type == "error") {
		p.asked[st.To.String()+" "+st.ID]--
	}
	if id := st.Child("urn:xmpp:sid:0", "stanza-id").Attr("id"); id != "" {
		p.said = id
	}
}

// says sends what may be nonsense.
func (p *party) says(peer *routertest.Peer, xml string) {
	st, err := xmpp.ParseStanza(xml)
	if err != nil || st.Kind == xmpp.Nonza {
		return
	}
	asks := st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set")
	var rd router.Round
	err = peer.Sender.Send(context.Background(), &rd, st)
	rd.Flush()
	var end *xmpp.StreamError
	switch {
	case err == nil && asks:
		p.asked[st.From.String()+" "+st.ID]++
	case err != nil && !errors.As(err, &end):
		p.t.Fatalf("%s: %v", xml, err)
	}
}

func (p *party) delivers(st *xmpp.Stanza) {
	var rd router.Round
	p.house.Router.Deliver(&rd, st)
	rd.Flush()
}

// settles waits until nothing is on its way.
func (p *party) settles() {
	var rd router.Round
	for range 2 {
		for _, peer := range p.people {
			peer.Sender.Settle(&rd)
		}
		p.house.Settle()
	}
}

func (p *party) act() {
	switch who := p.next(len(p.people) + len(p.away) + 2); {
	case who < len(p.people):
		p.says(p.people[who], p.phrase(""))
	case who < len(p.people)+len(p.away):
		full := p.away[who-len(p.people)]
		st, err := xmpp.ParseStanza(p.phrase("far"))
		if err != nil || st.Kind == xmpp.Nonza || st.Fault != nil || st.To.IsZero() {
			return
		}
		st.From = xmpp.MustJID(full)
		if st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set") {
			p.asked[full+" "+st.ID]++
		}
		p.delivers(st)
	case who == len(p.people)+len(p.away):
		p.clock.passes(p.house, time.Duration(1+p.next(90))*time.Second)
	default:
		p.settles()
		p.hears()
	}
}

// FuzzRooms has several people send whatever they like to two rooms at once. Nothing panics,
// everything is settled, every request is answered once, and nobody is in a room at the end.
func FuzzRooms(f *testing.F) {
	c := &clock{now: time.Now()}
	set := muc.Settings{Defaults: muc.DefaultRoom(), Queue: 64, Affiliations: 5, Create: muc.CreateAnyone}.Whole()
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	s := muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return set }, Archives: keeper, Now: c.time, After: c.after})
	h := routertest.New(f, blocking.New(), mam.Feature(keeper), muc.Feature(s))
	away := h.Service(far)
	for _, name := range []string{"romeo", "juliet", "nurse"} {
		h.Exists(xmpp.MustJID(name + "@example.com"))
	}
	at := func(part string) byte {
		return byte(slices.IndexFunc(phrases, func(s string) bool { return strings.Contains(s, part) }))
	}
	enter, open, say, wait := at("muc'/></presence>"), at("type='submit'/></query></iq>"), at("<body>RAW</body></message>"), byte(7)
	begin := []byte{ // who, which room, what, and what it wants to know
		0, 0, enter, 0, 0, 0, open, 2, 0, enter, 1, 4, 0, enter, 3, wait, 0, 0, say, 2, 0, say, wait,
		0, 0, at("<item affiliation='AFF' jid='JID'/></query>"), 1, 1, // of juliet: admin
		3, 1, enter, 2, 3, 1, open, wait,
	}
	for i := range phrases { // there are two rooms with people in them, and all of these say it, to one and the other
		b := byte(i)
		f.Add(slices.Concat(begin, []byte{0, 0, b, 1, 1, 1, 2, 0, b, 0, 2, 2, 2, 4, 0, b, 3, 3, 3, 3, 0, b, 1, 1, 1, 3, 1, b, 2, 2, 2, wait, 0, 0, b, 4, 4, 3, 3, 6, 20, 1, 0, enter, 0, 2, 0, b, 1, 3, 1}), "<x xmlns='urn:x'/>")
		f.Add(slices.Concat(begin, []byte{0, 0, at("FIELD"), b, b + 1, b + 2, 4, 0, b, 2, 0, say, 0, 0, b, 0, 0, 0}), "x")
	}
	n := 0
	f.Fuzz(func(t *testing.T, script []byte, raw string) {
		if len(script) > 400 || len(raw) > 2000 {
			return
		}
		n++
		p := &party{t: t, house: h, far: away, clock: c, n: n, script: script, raw: raw, asked: map[string]int{}, away: []string{"a@far.example/x", "b@far.example/x"}}
		soon(t, "a party", p.run)
		p.check(s)
	})
}

// run is the party from beginning to end.
func (p *party) run() {
	for _, full := range []string{"romeo@example.com/x", "romeo@example.com/y", "juliet@example.com/x", "nurse@example.com/x"} {
		peer, err := p.house.Bind(xmpp.MustJID(full))
		if err != nil {
			p.t.Errorf("%s cannot come: %v", full, err)
			return
		}
		p.says(peer, "<presence/>")
		p.people = append(p.people, peer)
	}
	for len(p.script) > 0 {
		p.act()
	}
	p.settles()
	for range 3 { // what is asked may have to be asked of others
		p.hears()
	}
	p.clock.passes(p.house, 2*time.Minute)
	p.hears()
	for _, peer := range p.people {
		peer.Sender.Settle(new(router.Round))
		peer.Leaves()
	}
	p.house.Router.Distant("conference.example.com", far, false)
	p.house.Settle()
}

// check looks at what is left of it.
func (p *party) check(s *muc.Service) {
	if n := p.house.Router.Stats().Panics.Load(); n != 0 {
		p.t.Fatalf("%d panics", n)
	}
	if list := s.Seated(); len(list) > 0 {
		p.t.Fatalf("people have left, and yet: %v", list)
	}
	for what, n := range p.asked {
		if n != 0 {
			p.t.Errorf("%s: %d answers are missing", what, n)
		}
	}
	for i := range 2 {
		if err := s.Destroy(xmpp.MustJID(p.room(i)), xmpp.JID{}, ""); err != nil && !errors.Is(err, muc.ErrNoRoom) {
			p.t.Errorf("%v", err)
		}
	}
	p.house.Settle()
}

//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	nsMUC      = "http://jabber.org/protocol/muc"
	nsMUCUser  = nsMUC + "#user"
	nsMUCOwner = nsMUC + "#owner"
	nsMUCAdmin = nsMUC + "#admin"
)

// A roomHost is a server in whose rooms people of other servers meet.
type roomHost struct {
	home
	name string
}

// aRoom is one there that nobody has used.
func (h roomHost) aRoom(what string) string { return what + "@conference." + h.domain }

// People of every server meet in rooms of every other: Parley's guests are Prosody's and
// ejabberd's, its people are guests there, and these two among themselves show that the stage
// is right.
func TestInteropRoomsFederation(t *testing.T) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := func(domain string) vhost {
		return vhost{domain: domain, cred: ca.issue(domain, leaf{names: []string{domain, "conference." + domain}}), rooms: true}
	}
	parley := startFederated(t, names, ca, federation{hosts: []vhost{host("parley.example")}, s2s: "give_up = \"5s\""})
	prosody := startProsody(t, names, ca, nil, host("prosody.example"))
	ejabberd := startEjabberd(t, names, ca, host("ejabberd.example"))
	for name, addr := range map[string]string{"parley": parley.s2s, "prosody": prosody.s2s, "ejabberd": ejabberd.s2s} {
		names.serves(name+".example", "xmpp-server", addr)
		names.serves("conference."+name+".example", "xmpp-server", addr)
	}
	hosts := []roomHost{
		{parley.at("parley.example"), "parley"}, {prosody.at("prosody.example"), "prosody"}, {ejabberd.at("ejabberd.example"), "ejabberd"},
	}
	for _, h := range hosts {
		for _, guest := range hosts {
			if h.name != guest.name {
				t.Run(guest.name+" in a room of "+h.name, func(t *testing.T) { meetAcross(t, h, guest) })
			}
		}
	}
	for _, s := range []*stranger{prosody, ejabberd} {
		t.Run("ghosts of "+s.name, func(t *testing.T) { ghostsLeave(t, hosts[0], s) })
	}
}

// meetAcross has Juliet make a room at home and Romeo come into it from elsewhere: they talk, he
// changes his name, reads what was said, is kicked, comes back, and goes by going offline.
func meetAcross(t *testing.T, h, guest roomHost) {
	room := h.aRoom("from-" + guest.name)
	juliet, romeo := h.welcome(t, "juliet"), guest.welcome(t, "romeo")
	juliet.makesRoom(room)
	romeo.asks(room, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "category='conference'", "var='"+nsMUC+"'")
	romeo.enters(room, "Romeo", 0, "Juliet")
	juliet.hears("<presence", "from='"+room+"/Romeo'", "jid='"+romeo.jid.String()+"'")
	juliet.saysIn(room, "Juliet", "But soft, &lt;what&gt; light \u2603", juliet, romeo)
	romeo.saysIn(room, "Romeo", "It is the east &amp; Juliet", juliet, romeo)
	for _, way := range []struct {
		from, to *citizen
		a, b     string
	}{{juliet, romeo, "Juliet", "Romeo"}, {romeo, juliet, "Romeo", "Juliet"}} {
		way.from.says("<message type='chat' to='%s/%s'><body>psst %[2]s</body><x xmlns='%[3]s'/></message>", room, way.b, nsMUCUser)
		way.to.hears("<message", "from='"+room+"/"+way.a+"'", "psst "+way.b, "type='chat'")
	}
	romeo.says("<presence to='%s/Montague'/>", room)
	for _, p := range []*citizen{juliet, romeo} {
		p.hears("<presence", "from='"+room+"/Romeo'", "type='unavailable'", "nick='Montague'", "code='303'")
		p.hears("<presence", "from='"+room+"/Montague'", "role='participant'")
	}
	juliet.says("<message type='groupchat' to='%s'><subject>The east</subject></message>", room)
	romeo.hears("<message", "from='"+room+"/Juliet'", "<subject>The east</subject>")
	// What was said, to who comes back.
	romeo.says("<presence type='unavailable' to='%s/Montague'/>", room)
	romeo.hears("<presence", "from='"+room+"/Montague'", "type='unavailable'", "code='110'")
	juliet.hears("<presence", "from='"+room+"/Montague'", "type='unavailable'")
	romeo.enters(room, "Romeo", 2, "Juliet")
	for _, part := range []string{"But soft, &lt;what&gt; light \u2603", "It is the east &amp; Juliet"} {
		romeo.hears("<message", "type='groupchat'", part, "urn:xmpp:delay")
	}
	romeo.hears("<message", "<subject>The east</subject>")
	romeo.asks(room, "set", "<query xmlns='urn:xmpp:mam:2' queryid='q'/>", "<fin", "complete='true'")
	romeo.hears("<message", "queryid='q'", "It is the east &amp; Juliet", "from='"+room+"/Romeo'")
	romeo.says("<message to='%s'><x xmlns='%s'><invite to='%s'><reason>hither</reason></invite></x></message>", room, nsMUCUser, juliet.jid.Bare())
	juliet.hears("<invite", "from='"+room+"'", "hither")
	// Out, and back.
	juliet.asks(room, "set", "<query xmlns='"+nsMUCAdmin+"'><item nick='Romeo' role='none'><reason>the nurse calls</reason></item></query>", "type='result'")
	romeo.hears("<presence", "from='"+room+"/Romeo'", "type='unavailable'", "code='307'", "the nurse calls")
	juliet.hears("<presence", "from='"+room+"/Romeo'", "type='unavailable'", "code='307'")
	romeo.enters(room, "Romeo", 0, "Juliet")
	juliet.hears("<presence", "from='"+room+"/Romeo'", "role='participant'")
	romeo.leaves()
	juliet.hears("<presence", "from='"+room+"/Romeo'", "type='unavailable'", "role='none'")
	juliet.asks(room, "set", "<query xmlns='"+nsMUCOwner+"'><destroy/></query>", "type='result'")
	juliet.leaves()
}

// ghostsLeave: who was in a room from a server that has died is gone when what was said there has
// waited for that as long as messages wait.
func ghostsLeave(t *testing.T, h roomHost, s *stranger) {
	room := h.aRoom("ghosts-of-" + s.name)
	juliet, romeo := h.welcome(t, "juliet"), s.comes(t, "romeo", s.name+".example")
	juliet.makesRoom(room)
	romeo.enters(room, "Romeo", 0, "Juliet")
	juliet.hears("<presence", "from='"+room+"/Romeo'", "role='participant'")
	s.kill()
	began := time.Now()
	juliet.saysIn(room, "Juliet", "Romeo, wherefore art thou?", juliet)
	gone := juliet.hearsWithin(time.Minute, "<presence", "from='"+room+"/Romeo'", "type='unavailable'", "code='333'")
	if gone == nil {
		t.Fatalf("%s's ghost is still there, and Juliet has heard\n%s", s.name, juliet.heard())
	}
	t.Logf("gone after %s", time.Since(began).Round(time.Millisecond))
	juliet.leaves()
}

// makesRoom makes a room as the service likes it (XEP-0045 §10.1.2), with a name for who makes it.
func (p *citizen) makesRoom(room string) {
	p.t.Helper()
	nick := strings.ToUpper(p.jid.Local()[:1]) + p.jid.Local()[1:]
	p.says("<presence to='%s/%s'><x xmlns='%s'/></presence>", room, nick, nsMUC)
	p.hears("<presence", "from='"+room+"/"+nick+"'", "code='110'", "affiliation='owner'")
	p.asks(room, "set", "<query xmlns='"+nsMUCOwner+"'><x xmlns='jabber:x:data' type='submit'/></query>", "type='result'")
}

// asks sends a request and returns when the answer to it has come, with these parts.
func (p *citizen) asks(to, typ, payload string, parts ...string) {
	p.t.Helper()
	id := p.id()
	p.says("<iq type='%s' to='%s' id='%s'>%s</iq>", typ, to, id, payload)
	p.hears(append([]string{"<iq", "id='" + id + "'", "type='result'"}, parts...)...)
}

// enters joins a room in which these others are, and is told of them before itself.
func (p *citizen) enters(room, nick string, history int, others ...string) {
	p.t.Helper()
	p.says("<presence to='%s/%s'><x xmlns='%s'><history maxstanzas='%d'/></x></presence>", room, nick, nsMUC, history)
	for _, other := range others {
		p.hears("<presence", "from='"+room+"/"+other+"'", nsMUCUser)
	}
	p.hears("<presence", "from='"+room+"/"+nick+"'", "code='110'")
}

// saysIn says something in a room, which all of these hear.
func (p *citizen) saysIn(room, nick, body string, hear ...*citizen) {
	p.t.Helper()
	id := p.id()
	p.says("<message type='groupchat' to='%s' id='%s'><body>%s</body><x xmlns='test:extra'><y a='1'/></x></message>", room, id, body)
	for _, q := range hear {
		st := q.hears("<message", "from='"+room+"/"+nick+"'", "id='"+id+"'", "type='groupchat'", "<body>"+body+"</body>")
		if !st.Has("test:extra", "x") || !strings.Contains(st.String(), fmt.Sprintf("by='%s'", room)) {
			p.t.Errorf("%s heard %s", q.jid, st)
		}
	}
}

package muc_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/muc"
	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/blocking"
	"parley/xep/mam"
	"parley/xep/push"
	"parley/xmpp"
)

// world is a room for members only with romeo in it, and juliet, who is a member.
type world struct {
	*routertest.House
	t          testing.TB
	clock      *clock
	rooms      *muc.Service
	app, romeo *routertest.Actor
	summary    atomic.Bool
}

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	return worldWith(t, dir, &routertest.Directory{})
}

func worldWith(t testing.TB, dir string, accounts *routertest.Directory) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Now()}}
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	set := muc.Settings{Defaults: muc.CompanyRoom()}.Whole()
	set.Defaults.NonAnonymous = false
	w.rooms = muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return set }, Archives: keeper,
		Now: w.clock.time, After: w.clock.after})
	w.House = routertest.NewWith(t, routertest.Config{Dir: accounts, Storage: storage.Config{Dir: dir}, Features: []router.Feature{
		blocking.New(), mam.Feature(keeper), push.New(push.Config{Summary: w.summary.Load}), muc.Feature(w.rooms)}})
	w.app = w.Online("app@example.com/server")
	w.romeo = w.Online("romeo@example.com/x")
	w.romeo.Sends("<presence to='" + verona + "/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	return w
}

// pass has time go by.
func (w *world) pass(d time.Duration) { w.clock.passes(w.House, d) }

// found has romeo open the room and make members of others.
func (w *world) found(members ...string) {
	w.t.Helper()
	w.romeo.Sends("<iq to='" + verona + "' id='o' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
	for _, m := range members {
		w.affiliates(m, "member")
	}
	w.romeo.Forgets()
}

func (w *world) affiliates(who, what string) {
	w.t.Helper()
	w.romeo.Sends("<iq to='" + verona + "' id='a' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='" + what + "' jid='" + who + "'/></query></iq>")
	w.romeo.Forgets()
}

func (w *world) enters(a *routertest.Actor, nick string) {
	w.t.Helper()
	a.Sends("<presence to='" + verona + "/" + nick + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	a.Forgets()
	w.romeo.Forgets()
}

func (w *world) says(text string) {
	w.t.Helper()
	w.romeo.Sends("<message to='" + verona + "' type='groupchat'><body>" + text + "</body></message>")
	w.romeo.Forgets()
}

// phone is a device with a node of its name, that has gone.
func (w *world) phone(full string) {
	w.t.Helper()
	a := w.Online(full)
	w.enables(a)
	a.Leaves()
}

func (w *world) enables(a *routertest.Actor) {
	w.t.Helper()
	a.Does("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='app@example.com/server' node='" + a.JID().Local() + "'/></iq>")
}

// told wants the node to be told once, and returns with what.
func (w *world) told(node string) *xmpp.Stanza {
	w.t.Helper()
	w.Settle()
	st := w.app.Gets("<iq type='set' from='example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + node + "'>…</publish></pubsub></iq>")
	w.app.Answers("")
	w.quiet()
	return st
}

func (w *world) quiet() {
	w.t.Helper()
	w.Settle()
	w.app.GetsNothing()
}

// TestNotTooOften: one is told at most once in 30 seconds, and what was said meanwhile is told
// behind that; who is mentioned is told soon.
func TestNotTooOften(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.found("juliet@example.com")
	w.phone("juliet@example.com/phone")
	w.says("one")
	w.told("juliet")
	for range 10 {
		w.says("more")
		w.quiet()
		w.pass(time.Second)
	}
	w.pass(19 * time.Second)
	w.quiet()
	w.pass(2 * time.Second)
	w.told("juliet")
	w.pass(time.Minute)
	w.quiet()
	w.says("again")
	w.told("juliet")
	juliet := w.Online("juliet@example.com/phone")
	w.enters(juliet, "Juliet")
	juliet.Leaves()
	w.romeo.Forgets()
	w.says("Juliet?")
	w.quiet()
	w.pass(3 * time.Second)
	w.told("juliet")
	w.says("Anybody?")
	w.says("Juliet!")
	w.pass(3 * time.Second)
	w.told("juliet")
	w.pass(time.Minute)
	w.quiet()
}

// TestWhoIsTold: members with a device that is not there, who do not attend by another one,
// have not barred the room, and have not spoken themselves.
func TestWhoIsTold(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.found("juliet@example.com", "nobody@example.com", "nurse@example.net", "paris@elsewhere.example")
	w.affiliates("example.com", "member")
	w.phone("tybalt@example.com/phone") // a member by the domain alone
	juliet := w.Online("juliet@example.com/phone")
	w.enables(juliet)
	desk := w.Online("juliet@example.com/desk")
	next := func() { w.pass(time.Minute) }
	w.says("the phone is awake")
	w.quiet()
	session := juliet.Peer().Session
	for _, attention := range []router.Attention{router.Inactive, router.Gone} {
		session.Attend(attention)
		next()
		w.says("nobody looks at the phone")
		w.told("juliet")
	}
	w.enters(desk, "Juliet")
	next()
	w.says("the desk is in the room")
	w.quiet()
	w.says("juliet, the desk is in the room")
	w.told("juliet")
	next()
	desk.Sends("<message to='" + verona + "' type='groupchat'><body>Juliet I am</body></message>")
	w.quiet()
	desk.Peer().Session.Attend(router.Inactive)
	w.romeo.Forgets()
	w.says("nobody looks at the desk")
	w.told("juliet")
	next()
	for _, nothing := range []string{
		"<body>x</body><no-store xmlns='urn:xmpp:hints'/>", "<body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='1'/>",
		"<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>", "<subject>x</subject>", "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
	} {
		w.romeo.Sends("<message to='" + verona + "' type='groupchat' id='n'>" + nothing + "</message>")
		w.romeo.Forgets()
		w.quiet()
	}
	desk.Forgets()
	desk.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='" + verona + "'/></block></iq>")
	w.says("she has barred us")
	w.quiet()
	desk.Forgets()
	desk.Does("<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'><item jid='" + verona + "'/></unblock></iq>")
	desk.Leaves()
	w.romeo.Forgets()
	w.says("she has not")
	w.told("juliet")
	next()
	w.affiliates("juliet@example.com", "none")
	w.says("she is nobody to us")
	w.quiet()
	w.affiliates("juliet@example.com", "member")
	w.says("she is")
	w.told("juliet")
	next()
	w.romeo.Sends("<iq to='" + verona + "' id='o' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_membersonly'><value>0</value></field></x></query></iq>")
	w.romeo.Forgets()
	w.says("everybody may come in")
	w.quiet()
}

// TestWhoIsMentioned: by references in the forms that clients write (XEP-0372 §3.2), and by no
// others.
func TestWhoIsMentioned(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.found()
	w.romeo.Sends("<iq to='" + verona + "' id='a' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='juliet@example.com' nick='Juliet Capulet'/></query></iq>")
	juliet := w.Online("juliet@example.com/phone")
	juliet.Forgets()
	juliet.Does("<iq type='set' id='c' to='" + verona + "'><command xmlns='http://jabber.org/protocol/commands' node='notifications'><x xmlns='jabber:x:data' type='submit'><field var='notify'><value>on-mention</value></field></x></command></iq>")
	w.enters(juliet, "Julia")
	w.enables(juliet)
	juliet.Leaves()
	w.romeo.Forgets()
	refer := func(uri string) string {
		return "<body>she</body><reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='3' uri='" + uri + "'/>"
	}
	for inside, told := range map[string]bool{
		refer("xmpp:juliet@example.com"):               true,
		refer("xmpp:JULIET@example.com/phone?message"): true,
		refer("xmpp:" + verona + "/Juliet%20Capulet"):  true,
		refer("xmpp:" + verona + "/juliet%20capulet"):  true,
		strings.Repeat("<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:x@y'/>", 99) + refer("xmpp:juliet@example.com"): true,
		"<body>Julia!</body>":               true, // as she was in the room last
		"<body>she</body>":                  false,
		refer("xmpp:" + verona + "/Juliet"): false,
		refer("xmpp:" + verona):             false,
		refer("xmpp:juliet@example.net"):    false,
		refer("juliet@example.com"):         false,
		refer("xmpp:%zz"):                   false,
		refer("xmpp:"):                      false,
		refer(""):                           false,
		"<body>x</body><reference xmlns='urn:xmpp:reference:0' type='data' uri='xmpp:juliet@example.com'/>":                               false,
		strings.Repeat("<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:x@y'/>", 100) + refer("xmpp:juliet@example.com"): false,
	} {
		w.pass(time.Minute)
		w.romeo.Sends("<message to='" + verona + "' type='groupchat'>" + inside + "</message>")
		w.romeo.Forgets()
		t.Log(inside)
		if told {
			w.told("juliet")
		} else {
			w.quiet()
		}
	}
}

// TestTellsNoSecret: what a service is told of who has spoken is the nickname.
func TestTellsNoSecret(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.found("juliet@example.com")
	w.phone("juliet@example.com/phone")
	w.summary.Store(true)
	w.says("Wherefore")
	st := w.told("juliet")
	if text := st.String(); !strings.Contains(text, verona+"/Romeo") || !strings.Contains(text, "Wherefore") || strings.Contains(text, "romeo@example.com") {
		t.Errorf("%s", text)
	}
}

// TestChoiceOutlastsRestart: what a member has chosen, and how far it has read, is there when the
// server comes again, and when the room comes into memory again.
func TestChoiceOutlastsRestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.found("juliet@example.com", "nurse@example.com")
	w.phone("nurse@example.com/phone")
	juliet := w.Online("juliet@example.com/phone")
	w.enables(juliet)
	juliet.Does("<iq type='set' id='c' to='" + verona + "'><command xmlns='http://jabber.org/protocol/commands' node='notifications'><x xmlns='jabber:x:data' type='submit'><field var='notify'><value>on-mention</value></field></x></command></iq>")
	w.enters(juliet, "Juliet")
	w.says("one")
	w.app.Forgets()
	juliet.Forgets()
	juliet.Sends("<message to='" + verona + "' type='groupchat'><body>two</body></message>")
	w.says("three")
	juliet.Leaves()
	w.romeo.Forgets()
	for _, a := range []*routertest.Actor{w.romeo, w.app} {
		a.Leaves()
	}
	w.Router.Stop(t.Context())
	w.Store.Close(t.Context())
	w = worldWith(t, dir, w.Dir)
	w.romeo.Forgets()
	w.says("four")
	w.told("nurse")
	juliet = w.Online("juliet@example.com/phone")
	juliet.Leaves()
	w.romeo.Sends("<message to='" + verona + "' type='groupchat'><body>she</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:juliet@example.com'/></message>")
	w.told("juliet")
	juliet = w.Online("juliet@example.com/phone")
	juliet.Forgets()
	if got := inbox(juliet); got != verona+" 3" {
		t.Errorf("unread: %s", got)
	}
}

// inbox returns what an account has in its inbox: addresses and what is unread.
func inbox(a *routertest.Actor) string {
	a.Forgets()
	a.Sends("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
	var list []string
	for st := a.Hears(); st != nil; st = a.Hears() {
		if e := st.Child("urn:xmpp:inbox:1", "entry"); !e.IsZero() {
			list = append(list, fmt.Sprint(e.Attr("jid"), " ", e.Attr("unread")))
		}
	}
	return strings.Join(list, ", ")
}

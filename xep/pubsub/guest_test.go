package pubsub

import (
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/xmpp"
)

const (
	afar = "romeo@example.org/orchard"
	nick = "http://jabber.org/protocol/nick"
)

// abroad has a house with juliet in it who has published two things, and a server elsewhere.
func abroad(t *testing.T) (w *world, juliet, far *routertest.Actor) {
	w = newWorld(t, routertest.Config{}, Limits{})
	far = w.Service("example.org")
	juliet = w.Online("juliet@example.com/balcony")
	juliet.Does(publishes(nick, "1", "Juliet", ""))
	juliet.Does(publishes("urn:open", "1", "for all", options("access_model", "open")))
	return w, juliet, far
}

// seesFrom lets an address elsewhere see juliet's presence.
func sees(juliet *routertest.Actor, far *routertest.Actor, bare string) {
	far.Sends(`<presence type='subscribe' from='` + bare + `' to='juliet@example.com'/>`)
	juliet.Sends(`<presence type='subscribed' to='` + bare + `'/>`)
	far.Forgets()
	juliet.Forgets()
}

func comes(t *testing.T, from string, nodes ...string) string {
	return `<presence from='` + from + `' to='juliet@example.com'>` + shown(t, nodes...) + `</presence>`
}

// isAsked wants the house to ask what a client elsewhere can do, in the name of the account
// (XEP-0060 §9.2).
func isAsked(t *testing.T, far *routertest.Actor, who string, nodes ...string) {
	t.Helper()
	far.Gets(`<iq type='get' id='*' from='juliet@example.com' to='` + who + `'><query xmlns='http://jabber.org/protocol/disco#info' node='urn:n#` + hash(t, nodes...) + `'/></iq>`)
}

// TestContactsElsewhere: they are told what was published last, and what is published, as their
// clients have said that they are interested.
func TestContactsElsewhere(t *testing.T) {
	_, juliet, far := abroad(t)
	sees(juliet, far, "romeo@example.org")
	far.Sends(comes(t, afar, nick))
	isAsked(t, far, afar, nick)
	far.Answers(`<query xmlns='` + xmpp.NSInfo + `'>` + info(nick) + `</query>`)
	far.Gets(strings.Replace(published(nick, "1", "Juliet", true), "<message ", "<message to='"+afar+"' from='juliet@example.com' ", 1))
	far.GetsNothing()
	juliet.Forgets()
	juliet.Does(publishes(nick, "1", "Capulet", ""))
	far.Gets(published(nick, "1", "Capulet", false))

	// Of another client with the same hash nobody asks, and presence that says the same brings
	// nothing.
	far.Sends(comes(t, "romeo@example.org/cell", nick))
	far.Gets(strings.Replace(published(nick, "1", "Capulet", true), "<message ", "<message to='romeo@example.org/cell' ", 1))
	far.Sends(comes(t, "romeo@example.org/cell", nick))
	far.GetsNothing()

	// Who is interested in more gets that.
	far.Sends(comes(t, "romeo@example.org/cell", nick, "urn:open"))
	isAsked(t, far, "romeo@example.org/cell", nick, "urn:open")
	far.Answers(`<query xmlns='` + xmpp.NSInfo + `'>` + info(nick, "urn:open") + `</query>`)
	far.Gets(published("urn:open", "1", "for all", true))
	far.GetsNothing()

	// Who goes hears no more.
	far.Sends(`<presence type='unavailable' from='` + afar + `' to='juliet@example.com'/>`)
	juliet.Forgets()
	juliet.Does(publishes(nick, "1", "Montague", ""))
	far.Gets(strings.Replace(published(nick, "1", "Montague", false), "<message ", "<message to='romeo@example.org/cell' ", 1))
	far.GetsNothing()
}

// TestGuestsElsewhere: who has no subscription hears of what is for everybody, and nothing else.
func TestGuestsElsewhere(t *testing.T) {
	w, juliet, far := abroad(t)
	far.Sends(comes(t, afar, nick, "urn:open"))
	isAsked(t, far, afar, nick, "urn:open")
	far.Answers(`<query xmlns='` + xmpp.NSInfo + `'>` + info(nick, "urn:open") + `</query>`)
	far.Gets(published("urn:open", "1", "for all", true))
	far.GetsNothing()
	juliet.Forgets()
	juliet.Does(publishes(nick, "1", "Capulet", ""))
	far.GetsNothing()

	// It becomes a contact, and hears the rest.
	far.Sends(`<presence type='subscribe' from='romeo@example.org' to='juliet@example.com'/>`)
	juliet.Sends(`<presence type='subscribed' to='romeo@example.org'/>`)
	far.Gets(`<presence type='subscribed'>…</presence>`)
	far.Gets(`<presence>…</presence>`)
	far.Gets(published(nick, "1", "Capulet", true))
	far.GetsNothing()

	// An answer that comes back ends it, and no client of juliet's hears of it.
	juliet.Forgets()
	juliet.Does(publishes("urn:open", "1", "again", ""))
	st := far.Gets(published("urn:open", "1", "again", false))
	far.Sends(`<message type='error' id='` + st.ID + `' from='` + afar + `' to='juliet@example.com'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	juliet.GetsNothing()
	juliet.Does(publishes("urn:open", "1", "once more", ""))
	far.GetsNothing()
	if len(w.s.guests) != 0 || w.s.all != 0 {
		t.Errorf("%d guests are left", w.s.all)
	}
}

// TestTheFirstLies: a hash that is not proved speaks for its client alone, and the next one who
// has announced it is asked.
func TestTheFirstLies(t *testing.T) {
	_, juliet, far := abroad(t)
	sees(juliet, far, "mercutio@example.org")
	far.Sends(comes(t, afar, nick))
	far.Sends(comes(t, "mercutio@example.org/x", nick))
	isAsked(t, far, afar, nick)
	far.GetsNothing()
	far.Answers(`<query xmlns='` + xmpp.NSInfo + `'>` + info("urn:open") + `</query>`)
	got := map[string]bool{}
	for range 2 {
		st := far.Hears()
		if st == nil {
			t.Fatal("too little was heard")
		}
		node, _, _ := texts(st)
		got[st.To.String()+" "+node+st.Payload().Attr("node")] = true
		if st.Kind == xmpp.IQ {
			far.Says(xmpp.Result(st, xmpp.Payload(`<query xmlns='`+xmpp.NSInfo+`'>`+info(nick)+`</query>`)).String())
		}
	}
	if !got[afar+" urn:open"] || !got["mercutio@example.org/x urn:n#"+hash(t, nick)] {
		t.Errorf("%v", got)
	}
	far.Gets(published(nick, "1", "Juliet", true))
	far.GetsNothing()
}

// TestManyGuests: they are bounded, also of accounts that do not exist.
func TestManyGuests(t *testing.T) {
	w, juliet, far := abroad(t)
	far.Sends(comes(t, afar, "urn:none"))
	isAsked(t, far, afar, "urn:none")
	far.Answers(`<query xmlns='` + xmpp.NSInfo + `'>` + info("urn:none") + `</query>`)
	for i := range maxGuests + 20 {
		far.Person.(*routertest.Service).Sends(comes(t, fmt.Sprintf("r%d@example.org/x", i), "urn:none"))
	}
	far.Person.(*routertest.Service).Sends(strings.Replace(comes(t, afar, "urn:none"), "juliet@", "nobody@", 1))
	w.Settle()
	juliet.Forgets()
	if w.s.all != maxGuests || len(w.s.guests) != 1 || w.s.Stats().Guests.Load() != 21 {
		t.Errorf("%d guests of %d accounts, %d refused", w.s.all, len(w.s.guests), w.s.Stats().Guests.Load())
	}
	w.s.distant("example.com", "example.org", false)
	if w.s.all != 0 {
		t.Errorf("%d guests are left of a domain that cannot be reached", w.s.all)
	}
}

// TestUnwantedGuests: whom juliet has blocked is not asked, and hears nothing.
func TestUnwantedGuests(t *testing.T) {
	w, juliet, far := abroad(t)
	juliet.Does(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='example.org'/></block></iq>`)
	juliet.Forgets()
	far.Sends(comes(t, afar, "urn:open"))
	far.GetsNothing()
	juliet.Does(publishes("urn:open", "1", "again", ""))
	far.GetsNothing()
	if w.s.all != 0 {
		t.Errorf("%d guests", w.s.all)
	}
}

// TestSubscribersElsewhere: who has subscribed is told without having shown anything
// (XEP-0163 §4.3.1).
func TestSubscribersElsewhere(t *testing.T) {
	_, juliet, far := abroad(t)
	far.Sends(`<iq type='set' id='s' from='` + afar + `' to='juliet@example.com'><pubsub xmlns='` + nsPubsub + `'><subscribe node='urn:open' jid='romeo@example.org'/></pubsub></iq>`)
	far.Gets(strings.Replace(published("urn:open", "1", "for all", true), "<message ", "<message to='romeo@example.org' ", 1))
	far.Gets(`<iq type='result' id='s'>…</iq>`)
	juliet.Does(publishes("urn:open", "1", "again", ""))
	st := far.Gets(published("urn:open", "1", "again", false))
	far.Sends(`<message type='error' id='` + st.ID + `' from='romeo@example.org' to='juliet@example.com'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
	juliet.GetsNothing()
	juliet.Does(publishes("urn:open", "1", "once more", ""))
	far.GetsNothing()
	far.Sends(`<iq type='get' id='s' from='` + afar + `' to='juliet@example.com'><pubsub xmlns='` + nsPubsub + `'><subscriptions/></pubsub></iq>`)
	far.Gets(`<iq type='result' id='s'><pubsub xmlns='` + nsPubsub + `'><subscriptions/></pubsub></iq>`)
}

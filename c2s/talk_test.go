package c2s_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// The conversations are played through this door: over TLS, through the door for browsers, and
// through the requests of BOSH.
func TestTalk(t *testing.T)            { play(t, "", false) }
func TestTalkByWebSocket(t *testing.T) { play(t, "WebSocket", false) }
func TestTalkByBOSH(t *testing.T)      { play(t, "BOSH", false) }

// Those in which there are messages, but no archives, go the same way where nothing is archived,
// and what one says and the other takes is mostly not written.
func TestTalkUnarchived(t *testing.T) { play(t, "", true) }

// isOfMessagesAlone reports whether there are messages in a conversation, and no archives.
func isOfMessagesAlone(t *testing.T, file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"urn:xmpp:mam:2", "urn:xmpp:sid:0", "urn:xmpp:inbox:1"} {
		if bytes.Contains(text, []byte(ns)) {
			return false
		}
	}
	return bytes.Contains(text, []byte("<message"))
}

func play(t *testing.T, by string, unarchived bool) {
	files, err := filepath.Glob("../testdata/talk/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, f := range files {
		if unarchived && !isOfMessagesAlone(t, f) {
			continue
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			h := open(t, func(p *plan) { p.unarchived = unarchived })
			h.router.SetLastActivity(strings.HasPrefix(filepath.Base(f), "0256-"))
			routertest.Play(t, f, &people{house: h, by: by})
		})
	}
}

// people are the clients of a house.
type people struct {
	*house
	by string // how they come: by TCP, if this is empty
}

// settle waits for the turns that stand in the accounts' lines, and for those that these
// put into others'.
func (p *people) settle() { p.router.Wait(context.Background()) }

// Exists implements routertest.People.
func (p *people) Exists(bare xmpp.JID) {
	p.t.Helper()
	if _, found, _ := p.auth.Accounts().Get(context.Background(), bare); found {
		return
	}
	if _, err := p.auth.Accounts().Create(context.Background(), bare, password); err != nil {
		p.t.Fatal(err)
	}
	p.router.Joined(bare)
	p.settle()
}

// Connect implements routertest.People.
func (p *people) Connect(full xmpp.JID) routertest.Person {
	p.t.Helper()
	o := xmpptest.Options{Addr: p.starttls, Host: full.Domain(), TLS: p.trust(full.Domain())}
	switch p.by {
	case "WebSocket":
		o.Addr, o.WebSocket = p.web, "wss://"+full.Domain()+c2s.WebSocketPath
	case "BOSH":
		o.Addr, o.BOSH = p.web, "https://"+full.Domain()+c2s.BOSHPath
	}
	c := xmpptest.Dial(p.t, o)
	c.Login(xmpptest.Login{User: full.Local(), Password: password, Resource: full.Resource()})
	return &person{people: p, c: c, since: time.Now()}
}

// person is a client that remembers what it has heard.
type person struct {
	people *people
	c      *xmpptest.Client
	since  time.Time // it was bound before
	heard  []*xmpp.Stanza
	ended  string
	over   bool
}

// Says implements routertest.Person.
func (p *person) Says(xml string) {
	p.c.Write(xml)
	p.sync()
	p.people.settle() // also the turns of those whom it concerns
}

// sync waits until all that was said is done.
func (p *person) sync() {
	if p.over || p.c.Write("<iq type='get' id='sync' to='"+p.c.JID.Domain()+"'><ping xmlns='urn:xmpp:ping'/></iq>") != nil {
		p.rest()
		return
	}
	for !p.take() {
	}
	if p.over { // whatever ended it may end others, one after the other
		p.people.settle()
	}
}

// take reads one stanza and reports whether it was the last for now.
func (p *person) take() bool {
	st, err := p.c.Read()
	switch {
	case err != nil:
		p.over = true
		if !errors.Is(err, io.EOF) && p.ended == "" {
			p.ended = err.Error()
		}
		return true
	case st.Name == (xmpp.Name{Space: xmpp.NSStream, Local: "error"}):
		p.ended = xmpptest.StreamCondition(st)
	case st.Kind == xmpp.IQ && st.ID == "sync":
		return true
	case st.Kind == xmpp.IQ && st.Type == "get" && st.Has("urn:xmpp:ping", "ping") && st.From == p.c.JID.Host():
		p.c.Write(xmpp.Result(st, nil).String())
	default:
		p.heard = append(p.heard, st)
	}
	return false
}

// rest reads what there is before the end.
func (p *person) rest() {
	for !p.over {
		p.take()
	}
}

// Hears implements routertest.Person.
func (p *person) Hears() *xmpp.Stanza {
	if len(p.heard) == 0 {
		p.sync()
	}
	if len(p.heard) == 0 {
		return nil
	}
	st := p.heard[0]
	p.heard = p.heard[1:]
	return st
}

// Ended implements routertest.Person.
func (p *person) Ended() string {
	p.sync()
	if p.over {
		eventually(p.people.t, "the session is gone", func() bool { return !p.there() })
		p.people.settle()
	}
	return p.ended
}

// there reports whether the house still has the session, and not a newer one of its name.
func (p *person) there() (there bool) {
	p.people.router.WithAccountInMemory(p.c.JID.Bare(), func(a *router.Account) {
		res, ok := a.Resource(p.c.JID.Resource())
		there = ok && res.Since().Before(p.since)
	})
	return there
}

// reads answers the server's pings until it knows what has been heard: whoever leaves before
// that has not taken the message, and gets it again. It is asked after many at once only now and
// then, so there is an end to the patience.
func (p *person) reads() {
	p.sync()
	for end := time.Now().Add(3 * time.Second); !p.over && p.holds() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.sync()
	}
}

// holds reports whether the session has something that it has not acknowledged.
func (p *person) holds() (holds bool) {
	p.people.router.WithAccountInMemory(p.c.JID.Bare(), func(a *router.Account) {
		res, ok := a.Resource(p.c.JID.Resource())
		holds = ok && len(res.Sender().Held()) > 0
	})
	return holds
}

// Leaves implements routertest.Person.
func (p *person) Leaves() {
	p.reads()
	h := p.people.house
	n := h.router.Sessions()
	p.c.Write("</stream:stream>")
	p.rest()
	p.c.Close()
	eventually(h.t, "the session is gone", func() bool { return h.router.Sessions() < n || n == 0 })
	p.people.settle()
}

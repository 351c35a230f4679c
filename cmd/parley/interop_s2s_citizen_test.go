//go:build interop

package main

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// federationPatience is how long something may take to come from another server, whose first
// stanza waits for connections both ways.
const federationPatience = 30 * time.Second

// A citizen is a user at some server, who listens all the time.
type citizen struct {
	t   testing.TB
	c   *xmpptest.Client
	jid xmpp.JID
	in  chan *xmpp.Stanza
	had []*xmpp.Stanza // that came, and nobody has asked for yet
	n   int            // ids used
}

// enters logs a user in, who must exist, and takes any certificate: that is not what these
// tests are about.
func enters(t testing.TB, addr, name, domain string) *citizen {
	t.Helper()
	c := xmpptest.Dial(t, xmpptest.Options{Addr: addr, Host: domain, TLS: &tls.Config{InsecureSkipVerify: true}})
	c.Login(xmpptest.Login{User: name, Password: "pw-" + name, Mechanism: "SCRAM-SHA-1", Resource: "test"})
	p := &citizen{t: t, c: c, jid: c.JID, in: make(chan *xmpp.Stanza, 10000)}
	go func() {
		defer close(p.in)
		for {
			st, err := c.ReadWithin(time.Hour)
			if err != nil {
				return
			}
			p.in <- st
		}
	}()
	return p
}

// comes is enters at a stranger's, who makes the account if need be, with presence.
func (s *stranger) comes(t testing.TB, name, domain string) *citizen {
	t.Helper()
	s.account(t, name, domain)
	p := enters(t, s.c2s, name, domain)
	p.appears()
	return p
}

// appears asks for the contact list, as who wants to hear of subscriptions must
// (RFC 6121 §2.2), and sends presence. It returns when the server has both.
func (p *citizen) appears() {
	p.t.Helper()
	p.says("<iq type='get' id='contacts'><query xmlns='jabber:iq:roster'/></iq>")
	p.hears("<iq", "id='contacts'", "type='result'")
	p.says("<presence/>")
	p.hears("<presence", "from='"+p.jid.String()+"'")
}

func (p *citizen) says(xml string, args ...any) {
	p.t.Helper()
	p.c.Say(xml, args...)
}

// id is a new one.
func (p *citizen) id() string {
	p.n++
	return fmt.Sprintf("%s-%d", p.jid.Local(), p.n)
}

// hears waits for a stanza with all these parts and returns it. Others are kept for later.
func (p *citizen) hears(parts ...string) *xmpp.Stanza {
	p.t.Helper()
	st := p.hearsWithin(federationPatience, parts...)
	if st == nil {
		p.t.Fatalf("%s has not heard %q, but\n%s", p.jid, parts, p.heard())
	}
	return st
}

// hearsWithin is hears with other patience, and nil if nothing came.
func (p *citizen) hearsWithin(d time.Duration, parts ...string) *xmpp.Stanza {
	for i, st := range p.had {
		if hasAll(st, parts) {
			p.had = append(p.had[:i:i], p.had[i+1:]...)
			return st
		}
	}
	late := time.After(d)
	for {
		select {
		case st, ok := <-p.in:
			switch {
			case !ok:
				return nil
			case hasAll(st, parts):
				return st
			}
			p.had = append(p.had, st)
		case <-late:
			return nil
		}
	}
}

func hasAll(st *xmpp.Stanza, parts []string) bool {
	text := st.String()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// heard is what came, and nobody has asked for.
func (p *citizen) heard() string {
	var b strings.Builder
	for _, st := range p.had {
		b.WriteString("  " + st.String() + "\n")
	}
	return b.String()
}

// leaves ends the stream in good order.
func (p *citizen) leaves() {
	p.t.Helper()
	p.says("</stream:stream>")
	for end := time.After(federationPatience); ; {
		select {
		case _, ok := <-p.in:
			if !ok {
				p.c.Conn.Close()
				return
			}
		case <-end:
			p.t.Fatalf("%s cannot leave", p.jid)
		}
	}
}

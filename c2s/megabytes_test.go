package c2s_test

import (
	"strings"
	"testing"
)

// A vCard of 10 MiB, a block list of 100,000 and a roster set of 20,000 items end at the limit
// of a stanza: the stream ends, what was kept before is there, and nobody else notices.
func TestMegabytes(t *testing.T) {
	h := open(t, nil)
	romeo := h.login("romeo", "x")
	c := h.login("juliet", "x")
	for _, set := range []string{
		"<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>",
		"<block xmlns='urn:xmpp:blocking'><item jid='tybalt@example.com'/></block>",
		"<query xmlns='jabber:iq:roster'><item jid='nurse@example.com'/></query>",
	} {
		c.Say("<iq type='set' id='s'>%s</iq>", set)
		c.Expect("type='result'", "id='s'")
	}
	c.Bye()
	before := heap()
	for _, huge := range []string{
		"<vCard xmlns='vcard-temp'><PHOTO><BINVAL>" + strings.Repeat("A", 10<<20),
		"<block xmlns='urn:xmpp:blocking'>" + strings.Repeat("<item jid='someone@example.com'/>", 100_000),
		"<query xmlns='jabber:iq:roster'>" + strings.Repeat("<item jid='someone@example.com'/>", 20_000),
	} {
		c := h.login("juliet", "x")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for text := "<iq type='set' id='h'>" + huge; text != ""; { // until the door closes
				n := min(len(text), 32<<10)
				if c.Write(text[:n]) != nil {
					return
				}
				text = text[n:]
			}
		}()
		c.ExpectEnd("policy-violation")
		c.Close()
		<-done
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	romeo.Ping(nil)
	c = h.login("juliet", "x")
	for get, want := range map[string]string{
		"<vCard xmlns='vcard-temp'/>":            "<FN>Juliet</FN>",
		"<blocklist xmlns='urn:xmpp:blocking'/>": "<blocklist xmlns='urn:xmpp:blocking'><item jid='tybalt@example.com'/></blocklist>",
		"<query xmlns='jabber:iq:roster'/>":      "ver='1'><item jid='nurse@example.com' subscription='none'/></query>",
	} {
		c.Say("<iq type='get' id='g'>%s</iq>", get)
		c.Expect("type='result'", want)
	}
	c.Bye()
	romeo.Bye()
}

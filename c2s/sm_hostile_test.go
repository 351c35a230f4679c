package c2s_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/c2s"
	"parley/storage"
	"parley/xmpp"
)

// XEP-0198 §4: a stanza counts when what it leaves behind is committed. Who asks waits for the
// commit, but not for long, and hears of it later.
func TestAcknowledgedWhenCommitted(t *testing.T) {
	h, _ := keeping(t, nil)
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	m.sync()
	h.disk.Slow(3 * time.Second)
	defer h.disk.Slow(0)
	say(m.Client, romeo.JID.String(), "x")
	begun := time.Now()
	m.Say("<r xmlns='urn:xmpp:sm:3'/>")
	m.Say("<r xmlns='urn:xmpp:sm:3'/>")
	acked := func(want uint32) {
		t.Helper()
		for n := m.acks; m.acks == n; {
			m.element(m.Next())
		}
		if m.out != want {
			t.Errorf("%d handled instead of %d", m.out, want)
		}
	}
	acked(1)
	if d := time.Since(begun); d < 80*time.Millisecond || d > 2500*time.Millisecond {
		t.Errorf("answered after %s", d)
	}
	acked(2) // unasked
	if d := time.Since(begun); d < 2900*time.Millisecond {
		t.Errorf("acknowledged after %s", d)
	}
	romeo.Expect("<body>x")
	set := c2s.Defaults()
	set.SMAckWithin = time.Minute // it is waited for
	h.SetSettings(set)
	h.disk.Slow(15 * time.Millisecond)
	if err := h.store.Write(t.Context(), func(*storage.Tx) error { return nil }); err != nil { // nothing else is under way
		t.Fatal(err)
	}
	say(m.Client, romeo.JID.String(), "y")
	m.Say("<r xmlns='urn:xmpp:sm:3'/>")
	acked(3)
}

// A resumed session is told of what was committed, also if that was under way when the
// connection was lost: nothing is in flight when the count is said.
func TestResumeBehindTheCommit(t *testing.T) {
	h, _ := keeping(t, nil)
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	m.sync()
	h.disk.Slow(300 * time.Millisecond)
	defer h.disk.Slow(0)
	for i := range 3 {
		say(m.Client, romeo.JID.String(), fmt.Sprint(i))
	}
	eventually(t, "they are in flight", func() bool { return h.router.Stats().Stanzas[xmpp.Message].Load() == 3 })
	if n := m.resume(); n != 4 {
		t.Errorf("%d handled", n)
	}
	var got []string
	for len(got) < 3 {
		if st := romeo.Next(); st.Kind == xmpp.Message {
			got = append(got, st.Child("", "body").Text())
		}
	}
	if strings.Join(got, "") != "012" {
		t.Errorf("got %s", got)
	}
}

// A full disk refuses messages, and a refused one is handled.
func TestRefusedIsHandled(t *testing.T) {
	h, _ := keeping(t, nil)
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	h.disk.FullEvery(1)
	say(m.Client, romeo.JID.String(), "x")
	m.gets("type='error'", "resource-constraint")
	if n := m.handled(); n != 1 {
		t.Errorf("%d handled", n)
	}
	h.disk.FullEvery(0)
}

// Thousands of requests cost what they cost, and change nothing.
func TestFloodOfRequests(t *testing.T) {
	h := open(t, nil)
	m := h.managed("juliet", "a")
	const n = 10000
	go m.Write(strings.Repeat("<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='0'/>", n))
	for m.acks < n {
		m.element(m.Next())
	}
	m.sync()
	c := h.login("juliet", "b")
	go c.Write(strings.Repeat("<r xmlns='urn:xmpp:sm:3'/>", n))
	c.ExpectEnd("policy-violation")
	m = h.managed("juliet", "c")
	go m.Write(strings.Repeat(enableXML, n))
	m.ExpectEnd("policy-violation")
	c = m.authenticated()
	go c.Write(strings.Repeat(enableXML, n))
	c.ExpectEnd("policy-violation")
	h.serves()
}

// While a commit takes its time, requests behind the same stanza share one answer.
func TestFloodOfRequestsInFlight(t *testing.T) {
	h, _ := keeping(t, nil)
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	h.disk.Slow(400 * time.Millisecond)
	defer h.disk.Slow(0)
	for i := range 10 {
		say(m.Client, romeo.JID.String(), fmt.Sprint(i))
		m.Say(strings.Repeat("<r xmlns='urn:xmpp:sm:3'/>", 500))
	}
	for m.out < 10 {
		m.element(m.Next())
	}
	if m.acks > 40 {
		t.Errorf("%d answers", m.acks)
	}
}

// Many resume the same session at once: one has it in the end, and it is whole.
func TestResumedByManyAtOnce(t *testing.T) {
	h := open(t, nil)
	m := h.managed("juliet", "a")
	m.sync()
	var wg sync.WaitGroup
	for range 12 {
		c := m.authenticated()
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.Write(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", m.id, m.in))
			for st, err := c.Read(); err == nil; st, err = c.Read() {
				if st.Name.Local == "failed" {
					t.Errorf("got %s", st)
				}
				if st.Name.Local == "resumed" {
					c.Close()
				}
			}
		}()
	}
	wg.Wait()
	m.resume()
	m.sync()
	if n := h.router.Sessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Sessions are ended, resumed and replaced at the same time; afterwards the house is in order.
func TestEndsWhileResuming(t *testing.T) {
	h := open(t, func(p *plan) { p.set.SMTimeout = moment })
	h.account("juliet")
	var wg sync.WaitGroup
	for i := range 30 {
		m := h.managed("juliet", "a")
		c := m.authenticated()
		wg.Add(2)
		go func() {
			defer wg.Done()
			c.Write(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='0'/>", m.id))
			c.Read()
			c.Close()
		}()
		go func() {
			defer wg.Done()
			switch i % 3 {
			case 0:
				h.router.Forget(xmpp.MustJID("juliet@"+host), xmpp.EndStream("conflict", ""))
			case 1:
				m.Close()
			case 2:
				m.Write("</stream:stream>")
			}
		}()
		wg.Wait()
	}
	h.none("juliet")
	eventually(t, "nobody waits", func() bool { return h.Asleep() == 0 && h.router.Sessions() == 0 })
}

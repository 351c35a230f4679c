package c2s_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// A client that never reads is ended at the queue's limit; nobody else is slowed down.
func TestClientThatNeverReads(t *testing.T) {
	const limit = 1 << 20
	h := open(t, func(p *plan) { p.set.Queue = limit })
	stalled, juliet, romeo := h.login("stalled", "x"), h.login("juliet", "x"), h.login("romeo", "x")
	text := strings.Repeat("x", 32<<10)
	before := heap()
	flood := fmt.Sprintf("<message to='%s'><body>%s</body></message>", stalled.JID, text)
	sent, slowest := 0, time.Duration(0)
	for h.router.Sessions() == 3 && sent < 64<<20 {
		romeo.Say("%s", flood)
		sent += len(flood)
		if sent/len(flood)%16 == 0 {
			began := time.Now()
			romeo.Say("<message to='%s'><body>now</body></message>", juliet.JID)
			juliet.Expect("now")
			slowest = max(slowest, time.Since(began))
		}
	}
	if sent >= 64<<20 {
		t.Fatalf("the client was not ended after %d bytes", sent)
	}
	if slowest > c2s.Defaults().Stall/2 {
		t.Errorf("others waited %v", slowest)
	}
	if n := h.router.Sessions(); n != 2 {
		t.Errorf("%d sessions are left", n)
	}
	h.router.Wait(context.Background()) // what is still being written is not held for who does not read
	eventually(t, "the heap is small again", func() bool { return heap()-before <= 4*limit })
	if n, ok := h.Stats().StreamErrors.Load("policy-violation"); !ok {
		t.Errorf("counted: %v", n)
	}
	romeo.Bye()
	juliet.Bye()
}

// A client that reads slowly, but reads, gets everything and in order, and the error
// behind it when it is ended; also the end of TLS (RFC 6120 §4.4).
func TestSlowClientLosesNothing(t *testing.T) {
	h := open(t, nil)
	slow, romeo := h.login("slow", "x"), h.login("romeo", "x")
	const n = 60
	text := strings.Repeat("x", 30<<10)
	for i := range n {
		romeo.Say("<message to='%s' id='m%d'><body>%s</body></message>", slow.JID, i, text)
	}
	romeo.Ping(nil)
	go func() {
		time.Sleep(50 * time.Millisecond)
		h.router.Forget(slow.JID.Bare(), xmpp.EndStream("not-authorized", "removed"))
	}()
	for i := range n {
		slow.Expect(fmt.Sprintf("id='m%d'", i))
		time.Sleep(2 * time.Millisecond)
	}
	slow.ExpectEnd("not-authorized")
	if _, err := io.ReadAll(slow.Conn); err != nil {
		t.Errorf("TLS did not end well: %v", err)
	}
}

// Questions before login whose answers nobody reads are not collected for ever.
func TestUnreadAnswersBeforeLogin(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Register = true })
	c := h.dial()
	ask := strings.Repeat("<iq type='get' id='"+strings.Repeat("i", 200)+"'><query xmlns='jabber:iq:register'/></iq>", 100)
	sent := 0
	for sent < 64<<20 && c.Write(ask) == nil {
		sent += len(ask)
	}
	if sent >= 64<<20 {
		t.Errorf("%d bytes of questions were taken", sent)
	}
	h.serves()
}

// Silence is asked about, and ends the stream where nothing answers; who answers lives.
func TestIdleConnections(t *testing.T) {
	h := open(t, func(p *plan) { p.set.Idle, p.set.PingTimeout = 100*time.Millisecond, 2*time.Second })
	alive, dead := h.login("juliet", "x"), h.login("romeo", "x")
	over := make(chan string, 1)
	go func() { over <- dead.End() }()
	for range 20 {
		st := alive.Expect("<ping xmlns='urn:xmpp:ping'", "type='get'", "from='"+host+"'")
		alive.Say("<iq type='result' id='%s' to='%s'/>", st.ID, host)
	}
	if got := <-over; got != "connection-timeout" {
		t.Errorf("the dead one ended with %q", got)
	}
	if n := h.router.Sessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	for range 230 { // white space is a sign of life
		alive.Say(" ")
		time.Sleep(10 * time.Millisecond)
	}
	alive.Ping(nil)
}

// A stanza that is not completed ends the stream, one that takes its time does not, nor
// does a client that is always amid another one.
func TestHalfStanza(t *testing.T) {
	h := open(t, func(p *plan) { p.set.StanzaTimeout = 2 * time.Second })
	half, busy := h.login("juliet", "x"), h.login("romeo", "x")
	half.Say("<message to='%s'><body>", half.JID)
	busy.Say("<iq type='get' id='b' to='%s'><ping xmlns='urn:xmpp:ping'", host)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for time.Since(began) < 5*time.Second {
			busy.Write("/></iq><iq type='get' id='b' to='" + host + "'><ping xmlns='urn:xmpp:ping'")
			time.Sleep(20 * time.Millisecond)
		}
		busy.Write("/></iq>")
	}()
	half.ExpectEnd("connection-timeout")
	<-done
	busy.Ping(nil)
}

// A newer session takes the resource, at once (RFC 6120 §7.7.2.2; requirement 31).
func TestConflict(t *testing.T) {
	h := open(t, nil)
	old := h.login("juliet", "balcony")
	newer := h.login("juliet", "balcony")
	if old.JID != newer.JID {
		t.Fatalf("%s is not %s", old.JID, newer.JID)
	}
	old.ExpectEnd("conflict")
	newer.Ping(nil)
	eventually(t, "one is left", func() bool { return h.router.Sessions() == 1 && h.Stats().Open.Load() == 1 })
}

// Twenty at once for one resource leave one owner.
func TestConflictAtOnce(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	const n = 20
	ended := make(chan string, n)
	for range n {
		go func() {
			c, err := xmpptest.Try(h.options())
			if err != nil {
				ended <- err.Error()
				return
			}
			defer c.Close()
			if err = c.Start(); err == nil {
				err = c.TryLogin(xmpptest.Login{User: "juliet", Password: password, Resource: "balcony"})
			}
			if err != nil && strings.Contains(err.Error(), "<conflict") {
				ended <- "conflict" // before it was told its address
				return
			}
			ended <- c.End()
		}()
	}
	for range n - 1 {
		if got := <-ended; got != "conflict" {
			t.Errorf("one ended with %q", got)
		}
	}
	if n := h.router.Sessions(); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
	h.router.Forget(xmpp.MustJID("juliet@"+host), nil)
	if got := <-ended; got != "" {
		t.Errorf("the last one ended with %q", got)
	}
}

// The limit on resources is told, and with IQs the stream survives it (XEP-0205 §4.4).
func TestResourceLimit(t *testing.T) {
	h := open(t, func(p *plan) { p.resources = 2 })
	h.login("juliet", "a")
	second := h.login("juliet", "b")
	c := h.dial()
	c.Login(xmpptest.Login{User: "juliet", Password: password, NoBind: true})
	c.Say("<iq type='set' id='1'><bind xmlns='%s'><resource>c</resource></bind></iq>", xmpp.NSBind)
	c.Expect("type='error'", "<resource-constraint", "resource-limit-exceeded")
	second.Bye()
	eventually(t, "one has left", func() bool { return h.router.Sessions() == 1 })
	if err := c.Bind("c"); err != nil {
		t.Error(err)
	}
	c = h.dial()
	if err := c.TryLogin(xmpptest.Login{User: "juliet", Password: password, SASL2: true}); err == nil {
		t.Error("a third session by SASL2")
	}
}

// Too many strangers of one address are turned away; who logs in is none any more.
func TestStrangersPerAddress(t *testing.T) {
	h := open(t, func(p *plan) { p.set.PerAddress = 3 })
	h.account("juliet")
	a, b := h.dial(), h.dial()
	h.dial()
	refused := func() bool {
		raw, err := net.Dial("tcp", h.starttls)
		if err != nil {
			return true
		}
		defer raw.Close()
		io.WriteString(raw, xmpptest.Header(host, ""))
		raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := raw.Read(make([]byte, 1))
		return n == 0 && !timedOut(err)
	}
	if !refused() {
		t.Error("a fourth stranger was let in")
	}
	if h.Stats().Refused.Load() == 0 {
		t.Error("it was not counted")
	}
	a.Login(xmpptest.Login{User: "juliet", Password: password})
	eventually(t, "room for one", func() bool { return !refused() })
	b.Close()
	eventually(t, "room again", func() bool { return !refused() })
	a.Ping(nil)
}

// Stopping ends every stream, whatever its state, and is over in time.
func TestShutdown(t *testing.T) {
	h := open(t, nil)
	h.account("mallory")
	type client struct {
		stage string
		*xmpptest.Client
	}
	var all []client
	for stage, reach := range stages {
		all = append(all, client{stage, reach(h)})
	}
	raw, err := net.Dial("tcp", h.direct) // amid a TLS handshake
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	juliet := h.login("juliet", "x")
	juliet.Say("<message to='%s'><body>last</body></message>", juliet.JID)
	juliet.Expect("last")
	eventually(t, "all are there", func() bool { return h.Stats().Open.Load() == int64(len(all)+2) })
	over := make(chan error, 1)
	began := time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		over <- h.Shutdown(ctx)
	}()
	for _, c := range append(all, client{"juliet", juliet}) {
		if got := c.End(); got != "system-shutdown" {
			t.Errorf("%s: the stream ended with %q", c.stage, got)
		}
		c.Client.Close()
	}
	if err := <-over; err != nil {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if conn, err := net.Dial("tcp", h.starttls); err == nil {
		conn.Close()
		t.Error("the door is still open")
	}
	if n := h.router.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// Requirement 57 and CVE-2026-43506: 2,000 connections that come and go leave nothing.
func TestChurnLeavesNothing(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	half := h.options()
	cycle := func(i int) {
		switch i % 4 {
		case 0: // says nothing
			c, err := net.Dial("tcp", h.starttls)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		case 1: // leaves amid a stanza
			c := xmpptest.Connect(t, half)
			c.Say("%s", xmpptest.Header(host, "")+"<auth")
			c.Close()
		case 2: // a handshake
			c := xmpptest.Connect(t, half)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			c.Close()
		case 3: // amid a handshake
			c := xmpptest.Connect(t, half)
			if err := c.Open(); err != nil {
				t.Fatal(err)
			}
			c.Say("<starttls xmlns='%s'/>", xmpp.NSTLS)
			c.Close()
		}
	}
	quiet := func() { eventually(t, "all are gone", func() bool { return h.Stats().Open.Load() == 0 }) }
	for i := range 100 {
		cycle(i)
	}
	quiet()
	before, goroutines, files := heap(), runtime.NumGoroutine(), openFiles(t)
	for i := range 2000 {
		cycle(i)
	}
	quiet()
	if grown := heap() - before; grown > 12<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	eventually(t, "no file is left open", func() bool { return openFiles(t) <= files+2 })
	h.serves()
}

func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

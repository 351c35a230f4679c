package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlain(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "p\u00adencil\u00a0\u2168") // SASLprep: "pencil IX" (RFC 4013 §3)
	for message, want := range map[string]string{
		"\x00romeo\x00pencil IX":          "",
		"\x00romeo\x00pencil\u00a0\u2168": "",
		"\x00ROMEO\x00pencil IX":          "",
		"\x00romeo\x00pencil ix":          NotAuthorized,
		"\x00romeo\x00":                   MalformedRequest,
		"\x00\x00pencil IX":               MalformedRequest,
		"romeo\x00pencil IX":              MalformedRequest,
		"\x00romeo\x00pencil\x00IX":       MalformedRequest,
		"\x00romeo\x00pencil \xff":        MalformedRequest,
		"":                                MalformedRequest,
		"\x00romeo\x00\u00ad":             NotAuthorized,
		"\x00romeo\x00" + strings.Repeat("x", MaxPassword+1): NotAuthorized,
		"\x00romeo\x00" + strings.Repeat("x", MaxMessage):    MalformedRequest,
	} {
		_, done, err := begin(t, a, "PLAIN", channel(somewhere)).Step(context.Background(), []byte(message))
		if got := condition(t, err); got != want || done != (want == "") {
			t.Errorf("%.40q: %q, want %q", message, got, want)
		}
		a.lockout.addresses.Purge()
	}
}

// RFC 4616 §2: names and passwords of 255 octets at least.
func TestPlainTakesLongNames(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	name, password := strings.Repeat("n", 1023), strings.Repeat("p", MaxPassword)
	create(t, a, name, password)
	if _, got := tryPlain(t, a, channel(somewhere), name+"@"+host, name, password); got != "" {
		t.Error(got)
	}
}

func TestPlainNeedsConfigurationAndTLS(t *testing.T) {
	a, _ := open(t, Config{})
	ch := channel(somewhere)
	_, err := a.Start(context.Background(), "PLAIN", ch, []string{"PLAIN"})
	wantCondition(t, err, InvalidMechanism)
	b, _ := open(t, Config{Plain: true})
	_, err = b.Start(context.Background(), "PLAIN", ch, []string{"SCRAM-SHA-1"})
	wantCondition(t, err, InvalidMechanism) // it was not offered on this stream
	ch.TLS = false
	_, err = b.Start(context.Background(), "PLAIN", ch, []string{"PLAIN"})
	wantCondition(t, err, EncryptionRequired)
}

// Nothing is offered in clear, nothing may be used in clear.
func TestNothingInClear(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	ch := channel(somewhere)
	ch.TLS = false
	if got := a.Mechanisms(ch); len(got) > 0 {
		t.Errorf("offered %v", got)
	}
	if got := a.Bindings(ch); len(got) > 0 {
		t.Errorf("bindings %v", got)
	}
	_, err := a.Start(context.Background(), "SCRAM-SHA-1", ch, []string{"SCRAM-SHA-1"})
	wantCondition(t, err, EncryptionRequired)
}

func TestMechanismsAndBindings(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	got := strings.Join(a.Mechanisms(channel(somewhere)), " ")
	want := "SCRAM-SHA-512-PLUS SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"
	if got != want {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(a.Mechanisms(unbound(somewhere)), " "); got != "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN" {
		t.Errorf("without bindings: %s", got)
	}
	if got := strings.Join(a.Bindings(channel(somewhere)), " "); got != "tls-exporter tls-server-end-point" {
		t.Errorf("bindings: %s", got)
	}
	for _, m := range []string{"", "SCRAM-", "SCRAM-MD5", "scram-sha-1", "EXTERNAL", "DIGEST-MD5"} {
		_, err := a.Start(context.Background(), m, channel(somewhere), append(a.Mechanisms(channel(somewhere)), m))
		wantCondition(t, err, InvalidMechanism)
	}
}

// Web pages log in with the same care.
func TestPasswordOutsideOfSASL(t *testing.T) {
	a, c := open(t, Config{})
	acc := create(t, a, "romeo", "pencil")
	ctx, ch := context.Background(), channel(somewhere)
	if got, err := a.Password(ctx, ch, "Romeo", "pencil"); err != nil || got.ID != acc.ID {
		t.Errorf("%+v, %v", got, err)
	}
	got, err := a.Password(ctx, ch, "romeo", "wrong")
	if condition(t, err) != NotAuthorized || got != (Account{}) {
		t.Errorf("%+v, %v", got, err)
	}
	for range 30 {
		_, err = a.Password(ctx, channel("192.0.2.66"), "nobody", "wrong")
	}
	if condition(t, err) != TemporaryAuthFailure || c.waited() == 0 {
		t.Errorf("no brake: %v", err)
	}
}

// RFC 6120 §6.4.2: no initial response, so the server asks for it.
func TestWithoutInitialResponse(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	x := begin(t, a, "PLAIN", channel(somewhere))
	out, done, err := x.Step(context.Background(), nil)
	if out == nil || len(out) > 0 || done || err != nil {
		t.Fatalf("%v, %v, %v", out, done, err)
	}
	if out, done, err = x.Step(context.Background(), []byte("\x00romeo\x00pencil")); out != nil || !done || err != nil {
		t.Fatalf("%v, %v, %v", out, done, err)
	}
	if _, _, err = x.Step(context.Background(), []byte("\x00romeo\x00pencil")); err == nil {
		t.Error("a message after success was taken")
	}
	x = begin(t, a, "PLAIN", channel(somewhere))
	_, _, _ = x.Step(context.Background(), nil)
	_, _, err = x.Step(context.Background(), nil)
	wantCondition(t, err, MalformedRequest)
}

// No more hashings at once than Config.Hashers; a bounded number wait, for a bounded time.
func TestHashingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Config{Hashers: 2, HashQueue: 3, HashWait: 5 * time.Second})
		var mu sync.Mutex
		running, most, busy, ran, atOnce := 0, 0, 0, 0, 0
		start := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				err := g.do(context.Background(), func() error {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(3 * time.Second)
					mu.Lock()
					running--
					ran++
					mu.Unlock()
					return nil
				})
				if errors.Is(err, ErrBusy) {
					mu.Lock()
					busy++
					if time.Since(start) == 0 {
						atOnce++
					}
					mu.Unlock()
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// Two run, three wait; two of these run after 3 s, and the third gives up at 5 s.
		if most != 2 || atOnce != 5 || ran != 4 || busy != 6 || g.runs.Load() != 4 || g.turned.Load() != 6 {
			t.Errorf("%d at once, %d ran, %d sent away, %d of them at once", most, ran, busy, atOnce)
		}
	})
}

func TestHashingEndsWithTheConnection(t *testing.T) {
	g := newGate(Config{Hashers: 1, HashQueue: 1, HashWait: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	err := g.do(ctx, func() error {
		cancel()
		return g.do(ctx, func() error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBusyIsTemporary(t *testing.T) {
	a, _ := open(t, Config{Plain: true, Hashers: 1, HashQueue: 1, HashWait: time.Millisecond})
	create(t, a, "romeo", "pencil")
	err := a.accounts.gate.do(context.Background(), func() error {
		_, got := tryPlain(t, a, channel(somewhere), "", "romeo", "pencil")
		if got != TemporaryAuthFailure {
			t.Errorf("%q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if s := a.Stats(); s.HashRefused != 1 {
		t.Errorf("%+v", s)
	}
	if wait, ok := a.Allow(channel(somewhere).Peer); wait != 0 || !ok || a.lockout.addresses.Len() != 0 {
		t.Error("our own trouble was held against the client")
	}
}

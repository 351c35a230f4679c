package xmpp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pipe connects a TCP transport with a client over loopback.
func pipe(t testing.TB) (*TCP, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTCP(server.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { client.Close(); server.Close() })
	return tr, client.(*net.TCPConn)
}

// secure puts TLS on both sides.
func secure(t testing.TB, tr *TCP, client net.Conn) *tls.Conn {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		done <- tr.StartTLS(cfg, time.Now().Add(10*time.Second), (*tls.Conn).Handshake)
	}()
	tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	if err := errors.Join(tc.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return tc
}

// both runs a test in clear and under TLS.
func both(t *testing.T, f func(t *testing.T, tr *TCP, client net.Conn)) {
	for _, name := range []string{"clear", "TLS"} {
		t.Run(name, func(t *testing.T) {
			tr, raw := pipe(t)
			if name == "clear" {
				f(t, tr, raw)
				return
			}
			f(t, tr, secure(t, tr, raw))
		})
	}
}

// crypto/tls has the buffers that trimTLS looks for. This Go release is known to; if a new
// one fails here, look at trim.go: until then every connection costs 4 to 20 KiB more.
func TestTrimFindsItsBuffers(t *testing.T) {
	if rawInputAt == 0 || handAt == 0 {
		t.Fatalf("%s: rawInput at %d, hand at %d", runtime.Version(), rawInputAt, handAt)
	}
	tr, raw := pipe(t)
	client := secure(t, tr, raw)
	want := strings.Repeat("large", 20<<10)
	go io.WriteString(client, want)
	got, buf := []byte(nil), make([]byte, 3000)
	for len(got) < len(want) {
		n, err := tr.Read(buf)
		if errors.Is(err, ErrMore) {
			err = tr.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != want {
		t.Fatal("trimming lost bytes")
	}
	if _, err := tr.Read(buf); !errors.Is(err, ErrMore) {
		t.Fatal(err)
	}
	trimTLS(tr.tls.Load())
	for _, b := range inputBuffers(tr.tls.Load()) {
		if b.Cap() != 0 {
			t.Errorf("%d bytes are kept", b.Cap())
		}
	}
	go io.WriteString(client, "more")
	if err := tr.Wait(); err != nil {
		t.Fatal(err)
	}
	if n, err := tr.Read(buf); err != nil || string(buf[:n]) != "more" {
		t.Errorf("after trimming: %q, %v", buf[:n], err)
	}
}

// Read and Write never wait; what a peer does not read is a backlog with a date, and all
// of it arrives in order when it does read.
func TestBacklog(t *testing.T) {
	both(t, func(t *testing.T, tr *TCP, client net.Conn) {
		if _, err := tr.Read(make([]byte, 100)); !errors.Is(err, ErrMore) {
			t.Fatalf("reading gave %v", err)
		}
		const size = 16 << 20
		began := time.Now()
		for i := range size / (64 << 10) {
			if err := tr.Write(bytes.Repeat([]byte{byte(i)}, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("writing took %v", took)
		}
		n, since := tr.Backlog()
		if n == 0 || since.Before(began) || since.After(time.Now()) {
			t.Errorf("backlog %d since %v", n, since)
		}
		if _, err := tr.Read(make([]byte, 100)); !errors.Is(err, ErrUnread) {
			t.Errorf("a peer with a backlog of %d is read from: %v", n, err)
		}
		got := make([]byte, size)
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			if b != byte(i/(64<<10)) {
				t.Fatalf("byte %d is %d", i, b)
			}
		}
		for n, since = tr.Backlog(); n > 0 || !since.IsZero(); n, since = tr.Backlog() {
			time.Sleep(time.Millisecond)
		}
	})
}

// Close sends what is left, says the end of TLS, and does not reset the connection of a
// peer that still sends.
func TestCloseLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, tr *TCP, client net.Conn) {
		const size = 6 << 20
		if err := tr.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		client.Write([]byte("the server does not read this"))
		tr.Close(5 * time.Second)
		if err := tr.Write([]byte("too late")); err == nil {
			t.Error("a write after Close was taken")
		}
		time.Sleep(20 * time.Millisecond)
		got, err := io.ReadAll(client)
		if err != nil || len(got) != size {
			t.Errorf("got %d of %d bytes, %v", len(got), size, err)
		}
		tr.Close(time.Second) // nothing more happens
	})
}

// Close ends a Wait at once, not only when the peer notices.
func TestCloseWakesTheReader(t *testing.T) {
	both(t, func(t *testing.T, tr *TCP, _ net.Conn) {
		woken := make(chan error, 1)
		go func() { woken <- tr.Wait() }()
		time.Sleep(10 * time.Millisecond)
		began := time.Now()
		tr.Close(5 * time.Second)
		if err := <-woken; err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := tr.Wait(); err == nil {
			t.Error("a later Wait waits")
		}
	})
}

// A peer that never reads does not keep a closed connection.
func TestCloseGivesUp(t *testing.T) {
	before := runtime.NumGoroutine()
	tr, client := pipe(t)
	if err := tr.Write(make([]byte, 32<<20)); err != nil {
		t.Fatal(err)
	}
	tr.Close(100 * time.Millisecond)
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines instead of %d", runtime.NumGoroutine(), before)
		}
	}
	client.Close()
}

// While a handshake is under way nothing else is written into it, and Close ends it.
func TestCloseAmidHandshake(t *testing.T) {
	tr, client := pipe(t)
	over := make(chan error, 1)
	go func() {
		over <- tr.StartTLS(&tls.Config{}, time.Now().Add(20*time.Second), (*tls.Conn).Handshake)
	}()
	for !tr.sock.waits.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := tr.Write([]byte("<stream:error/>")); err == nil {
		t.Error("written into a handshake")
	}
	tr.Close(time.Second)
	if err := <-over; err == nil {
		t.Error("the handshake went on")
	}
	if got, _ := io.ReadAll(client); len(got) > 0 {
		t.Errorf("the peer got %q", got)
	}
}

// A handshake has a deadline, and one that keeps it has none afterwards.
func TestHandshakeDeadline(t *testing.T) {
	tr, _ := pipe(t)
	if err := tr.StartTLS(&tls.Config{}, time.Now().Add(30*time.Millisecond), (*tls.Conn).Handshake); err == nil {
		t.Error("a handshake with nobody")
	}
}

// The end of the connection is io.EOF, in the middle of a TLS record an error.
func TestPeersEnd(t *testing.T) {
	both(t, func(t *testing.T, tr *TCP, client net.Conn) {
		client.Close()
		err := tr.Wait()
		for err == nil {
			if _, err = tr.Read(make([]byte, 10)); errors.Is(err, ErrMore) {
				err = tr.Wait()
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

// What a peer sends behind its request for TLS is dropped (RFC 6120 §5.4.3.3).
func TestStartTLSDropsWhatWasRead(t *testing.T) {
	tr, raw := pipe(t)
	raw.Write([]byte("<starttls/><evil/>"))
	if err := tr.Wait(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len("<starttls/>"))
	if _, err := tr.Read(buf); err != nil {
		t.Fatal(err)
	}
	client := secure(t, tr, raw)
	go client.Write([]byte("good"))
	got := make([]byte, 100)
	n, err := tr.Read(got)
	for errors.Is(err, ErrMore) {
		if err = tr.Wait(); err == nil {
			n, err = tr.Read(got)
		}
	}
	if err != nil || string(got[:n]) != "good" {
		t.Errorf("got %q, %v", got[:n], err)
	}
}

// An idle connection holds no buffers.
func TestIdleHoldsNoBuffers(t *testing.T) {
	both(t, func(t *testing.T, tr *TCP, client net.Conn) {
		go client.Write(bytes.Repeat([]byte("x"), 40000))
		buf := make([]byte, 1000)
		for got := 0; got < 40000; {
			n, err := tr.Read(buf)
			if errors.Is(err, ErrMore) {
				err = tr.Wait()
			}
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		tr.Write([]byte("y"))
		if tr.sock.stash != nil || tr.sock.rest != nil {
			t.Errorf("stash %v, rest of %d bytes", tr.sock.stash != nil, cap(tr.sock.rest))
		}
	})
}

// tapped remembers what was read through it.
type tapped struct {
	net.Conn
	got []byte
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got = append(c.got, p[:n]...)
	return n, err
}

// The last TLS record is close_notify, with and without a backlog before it: without it an
// attacker could have cut the stream off. crypto/tls as a client does not look.
func TestCloseNotify(t *testing.T) {
	for _, size := range []int{0, 100, 6 << 20} {
		tr, raw := pipe(t)
		tap := &tapped{Conn: raw}
		client := secure(t, tr, tap)
		if err := tr.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		tr.Close(5 * time.Second)
		if got, err := io.ReadAll(client); err != nil || len(got) != size {
			t.Errorf("got %d of %d bytes, %v", len(got), size, err)
		}
		last := 0
		for rest := tap.got; len(rest) >= 5; {
			last = int(rest[3])<<8 | int(rest[4])
			rest = rest[5+last:]
		}
		if last != 2+1+16 { // level and description, the inner type, the tag
			t.Errorf("behind %d bytes: the last record has %d", size, last)
		}
	}
}

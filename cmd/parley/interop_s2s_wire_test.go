//go:build interop

package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A wire is a way to a server that can be cut. The addresses of who calls through it are lost,
// as behind any such thing.
type wire struct {
	addr string // where it begins

	mu    sync.Mutex
	to    string // where it ends; "": nowhere, and who calls is hung up on
	ends  map[net.Conn]bool
	every int64 // how many bytes to the server it carries before it is cut by itself
	left  int64 // of these, still
	cuts  int   // how often that happens still
}

// newWire lays one to an address.
func newWire(t testing.TB, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), to: to, ends: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			go w.connect(here)
		}
	}()
	return w
}

// connect carries a connection until it ends.
func (w *wire) connect(here net.Conn) {
	defer here.Close()
	w.mu.Lock()
	to := w.to
	w.mu.Unlock()
	if to == "" {
		return
	}
	there, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer there.Close()
	w.mu.Lock()
	w.ends[here], w.ends[there] = true, true
	w.mu.Unlock()
	go func() {
		io.Copy(here, there)
		here.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := here.Read(buf)
		if n > 0 {
			if w.count(n) {
				w.cut()
			}
			if _, err := there.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	w.mu.Lock()
	delete(w.ends, here)
	delete(w.ends, there)
	w.mu.Unlock()
}

// count counts what goes to the server, and reports whether the wire is to be cut now.
func (w *wire) count(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left -= int64(n)
	if w.cuts == 0 || w.left > 0 {
		return false
	}
	w.cuts, w.left = w.cuts-1, w.every
	return true
}

// cut breaks every connection without a word, as when a network goes away.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.ends {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset: what is on its way is lost
		}
		c.Close()
	}
	clear(w.ends)
}

// cutEvery has it cut by itself, so many times, whenever so many bytes have gone to the server.
func (w *wire) cutEvery(bytes int64, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.every, w.left, w.cuts = bytes, bytes, times
}

// cutsLeft is how many of these cuts have not happened.
func (w *wire) cutsLeft() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts
}

// leads has it lead somewhere else from now on.
func (w *wire) leads(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

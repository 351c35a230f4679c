package xmpptest

import (
	"os"
	"strings"
	"sync"
	"time"

	"parley/xmpp"
)

// An inflow is what comes in pieces and is read as a stream, with deadlines.
type inflow struct {
	in     chan []byte
	failed error // once in is closed
	rest   []byte

	mu    sync.Mutex
	until time.Time
}

// Read implements net.Conn.
func (f *inflow) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		f.mu.Lock()
		until := f.until
		f.mu.Unlock()
		var late <-chan time.Time
		if !until.IsZero() {
			late = time.After(time.Until(until))
		}
		select {
		case b, ok := <-f.in:
			if !ok {
				return 0, f.failed
			}
			f.rest = b
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// SetReadDeadline implements net.Conn.
func (f *inflow) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = t
	return nil
}

// SetWriteDeadline implements net.Conn.
func (f *inflow) SetWriteDeadline(time.Time) error { return nil }

// framed is the text of an element that stands alone: in jabber:client, unless it says another
// namespace.
func (it item) framed() string {
	s := string(it.text)
	if it.name.Space == "" && !it.declares {
		tag := len("<") + len(it.name.Local)
		s = s[:tag] + " xmlns='" + xmpp.NSClient + "'" + s[tag:]
	}
	return s
}

// headerOf takes the attributes of a stream header, but for its namespaces, from a text that
// begins with one; found is false where it does not.
func headerOf(text string) (attrs, rest string, found bool) {
	i := strings.Index(text, "<stream:stream")
	if i < 0 {
		return "", text, false
	}
	attrs, rest, _ = strings.Cut(text[i+len("<stream:stream"):], ">")
	attrs = strings.Replace(attrs, " xmlns='"+xmpp.NSClient+"'", "", 1)
	return strings.Replace(attrs, " xmlns:stream='"+xmpp.NSStream+"'", "", 1), rest, true
}

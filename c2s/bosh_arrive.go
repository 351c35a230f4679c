package c2s

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

var errManyBodies = errors.New("c2s: too many requests of one address or session are on their way")

// readBody reads the body of a request: a little, or several stanzas for a session that is
// logged in. Over HTTP/2 one connection brings many at once, so their number counts, too. done is
// to be called when the body is needed no more.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, from netip.Addr) (raw []byte, done func(), err error) {
	done = func() {}
	if !s.arrives(from) {
		return nil, done, errManyBodies
	}
	defer s.arrived(from)
	set := s.settings.Load()
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(set.StanzaTimeout))
	defer func() { rc.SetReadDeadline(time.Time{}) }() // while the answer is waited for nothing need come
	body := http.MaxBytesReader(w, r.Body, int64(boshStanzas*set.Stanza))
	raw, err = io.ReadAll(io.LimitReader(body, int64(set.StanzaBefore)+boshTag))
	if err != nil || len(raw) < set.StanzaBefore+boshTag {
		return raw, done, err
	}
	found, ok := s.bosh.Load(sessionOf(raw))
	if !ok || !found.(*bosh).conn.bound.Load() {
		return nil, done, errLargeBody
	}
	b := found.(*bosh)
	if !b.begins() {
		return nil, done, errManyBodies
	}
	more, err := io.ReadAll(body)
	return append(raw, more...), b.ends, err
}

// begins counts a large request.
func (b *bosh) begins() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.large >= b.many() {
		return false
	}
	b.large++
	return true
}

func (b *bosh) ends() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.large--
}

// many is how many requests a client may have under way that keeps to the window and sends each
// once more.
func (b *bosh) many() int { return 2 * (b.window + 1) }

// arrives counts a request of which the body is on its way, false if its address has too many.
func (s *Server) arrives(addr netip.Addr) bool {
	from := network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arriving[from] >= boshArriving {
		return false
	}
	s.arriving[from]++
	return true
}

func (s *Server) arrived(addr netip.Addr) {
	from := network(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arriving[from]--; s.arriving[from] <= 0 {
		delete(s.arriving, from)
	}
}

// tooMany refuses a request that may be made again: its session does not end (XEP-0124 §17.1).
// Clients in browsers take a status of 400 and more for the end, and try again from 500 on.
func tooMany(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "too many requests are on their way", http.StatusServiceUnavailable)
}

// slow waits while the stream has enough to read. A request whose connection breaks meanwhile
// was none: else who breaks them all would be read without limit. It returns false if the
// request is not to be taken.
func (b *bosh) slow(w http.ResponseWriter, r *http.Request) bool {
	for {
		b.mu.Lock()
		if len(b.in) <= boshInput || b.inOver {
			b.mu.Unlock()
			return true
		}
		if b.slowed >= b.many() {
			b.mu.Unlock()
			tooMany(w)
			return false
		}
		b.slowed++
		b.rest()
		drained := b.drained
		b.mu.Unlock()
		gone := false
		select {
		case <-drained:
		case <-r.Context().Done():
			gone = true
		}
		b.mu.Lock()
		b.slowed--
		b.rest()
		b.mu.Unlock()
		if gone {
			return false
		}
	}
}

// drain has requests go on that wait until the stream has read. The lock is held.
func (b *bosh) drain() {
	b.in = nil
	close(b.drained)
	b.drained = make(chan struct{})
}

// again answers a request that was here before. The lock is held.
func (b *bosh) again(t *boshTurn) {
	for _, said := range b.cache {
		if said.rid == t.rid {
			if b.repeats(said.key, t) {
				t.tell(said.body)
			}
			return
		}
	}
	for _, h := range b.held {
		if h.rid == t.rid {
			if !b.repeats(h.key, t) {
				return
			}
			b.release(h)
			h.answer = t.answer
			b.answerIfAny()
			b.overdue(h)
			b.conclude()
			return
		}
	}
	b.fail("item-not-found", t)
}

// repeats checks that a request that was here before comes with the key that it had (XEP-0124 §15.4):
// else who has listened could fetch its answer. The lock is held.
func (b *bosh) repeats(key string, t *boshTurn) bool {
	if strings.EqualFold(key, t.key) {
		return true
	}
	b.fail("item-not-found", t)
	return false
}

// release has whoever waits for a request's answer go, as the request has come once more
// (XEP-0124 §14.3). The lock is held.
func (b *bosh) release(t *boshTurn) {
	t.tell((&boshAnswer{broken: true}).append(nil))
}

package bytestreams

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"parley/xmpp"
)

// join finds who is connected for a stream and joins the two. Who asks is known by the full or the
// bare address (XEP-0065 §10.1), the target by what both have hashed.
func (p *Proxy) join(from xmpp.JID, sid string, targets ...string) error {
	set := p.cfg.Settings().Whole()
	var keys []string
	for _, who := range []string{from.String(), from.Bare().String()} {
		for _, target := range targets {
			keys = append(keys, hash(sid, who, target))
		}
	}
	a, b, share, err := p.pair(from.Bare(), set, keys)
	if err != nil {
		return err
	}
	<-a.idle
	<-b.idle
	st := &stream{p: p, share: share, idle: set.Idle}
	st.last.Store(time.Now().UnixNano())
	go st.run(from.Bare(), a, b)
	return nil
}

// pair takes the two connections of a stream, and a place among the streams of its user.
func (p *Proxy) pair(user xmpp.JID, set Settings, keys []string) (a, b *peer, share *budget, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := 0
	for _, key := range keys {
		list := p.waiting[key]
		if most = max(most, len(list)); len(list) == 2 {
			a, b = list[0], list[1]
			break
		}
	}
	share = p.users[user]
	switch {
	case most == 0: // XEP-0065 §6.3.5
		return nil, nil, nil, xmpp.Refuse("item-not-found", "nobody is connected for this stream")
	case most == 1:
		return nil, nil, nil, xmpp.Refuse("not-allowed", "one side is not connected")
	case p.closed || p.stats.Open.Load() >= int64(set.Streams) || share != nil && share.streams >= set.PerUser:
		p.stats.Refused.Add(1)
		return nil, nil, nil, xmpp.Refuse("resource-constraint", "too many files are on their way")
	}
	if share == nil {
		share = &budget{}
		p.users[user] = share
	}
	share.streams++
	share.setRate(set.Rate)
	a.take()
	b.take()
	p.stats.Open.Add(1)
	p.stats.Streams.Add(1)
	p.done.Add(1)
	return a, b, share, nil
}

// A stream is two connections that are joined.
type stream struct {
	p     *Proxy
	share *budget
	idle  time.Duration
	last  atomic.Int64 // when something was carried
}

// run carries bytes both ways until both have ended, or nothing comes for long.
func (s *stream) run(user xmpp.JID, a, b *peer) {
	defer s.p.done.Done()
	a.SetDeadline(time.Time{})
	b.SetDeadline(time.Time{})
	var both sync.WaitGroup
	both.Go(func() { s.carry(b, a) })
	both.Go(func() { s.carry(a, b) })
	both.Wait()
	a.Close()
	b.Close()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.stats.Open.Add(-1)
	delete(s.p.all, a)
	delete(s.p.all, b)
	if s.share.streams--; s.share.streams == 0 {
		delete(s.p.users, user)
	}
}

// carry copies one way. The end of it is passed on; what fails ends both ways.
func (s *stream) carry(to, from *peer) {
	buf := make([]byte, chunk)
	for {
		from.SetReadDeadline(time.Now().Add(s.idle))
		n, err := from.Read(buf)
		if n > 0 {
			s.last.Store(time.Now().UnixNano())
			s.pause(s.share.wait(n))
			to.SetWriteDeadline(time.Now().Add(s.idle))
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				to.Close()
				return
			}
			s.p.stats.Bytes.Add(int64(n))
			s.last.Store(time.Now().UnixNano())
		}
		switch {
		case err == nil:
		case err == io.EOF:
			to.CloseWrite()
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, s.last.Load())) < s.idle: // the other way is at work
		default:
			from.Close()
			to.Close()
			return
		}
	}
}

// pause waits for the budget, or for the proxy's end.
func (s *stream) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.p.stop:
	}
}

// A budget is what the streams of one user may carry. It ends with the last of them, when all is
// paid for: each waits before it carries, and ends behind that, so who begins again gains nothing.
type budget struct {
	streams int // under the proxy's lock

	mu   sync.Mutex // a leaf
	rate int        // bytes a second; negative: any number
	free time.Time  // when all that was carried is paid for
}

func (b *budget) setRate(rate int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = rate
}

// wait returns how long to wait before n bytes are carried.
func (b *budget) wait(n int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate < 0 {
		return 0
	}
	now := time.Now()
	if b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(n) * time.Second / time.Duration(b.rate))
	return b.free.Sub(now)
}

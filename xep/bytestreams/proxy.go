package bytestreams

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A peer is a connection that waits to be joined to another, or is.
type peer struct {
	*net.TCPConn
	p       *Proxy
	from    netip.Prefix  // the address that it counts for while it waits
	near    netip.Prefix  // the network around that, for which it counts too
	since   time.Time     // it waits
	shown   string        // the hash of its stream
	settled bool          // it does not count any more; under the proxy's lock
	idle    chan struct{} // closed when it does not wait any more
}

// Serve accepts connections until the listener is closed. Shutdown does that.
func (p *Proxy) Serve(l net.Listener) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.Close()
		return nil
	}
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of files
				time.Sleep(50 * time.Millisecond)
				continue
			}
			return err
		}
		p.stats.Accepted.Add(1)
		if !p.admit(nc.(*net.TCPConn)) {
			p.stats.Refused.Add(1)
			nc.Close()
		}
	}
}

// Shutdown closes all connections, and waits until nothing of them is left, or ctx is over. The
// listeners are the caller's to close.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	for c := range p.all {
		c.Close()
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		p.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// origin is what an address is counted by: itself, or for IPv6 the /64 around it; and the network
// that one customer may have, a /24 or a /48.
func origin(a net.Addr) (from, near netip.Prefix) {
	addr := a.(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	bits, wide := 32, 24
	if addr.Is6() {
		bits, wide = 64, 48
	}
	return netip.PrefixFrom(addr, bits).Masked(), netip.PrefixFrom(addr, wide).Masked()
}

// admit counts a connection among those that wait, false if there are too many.
func (p *Proxy) admit(nc *net.TCPConn) bool {
	c := &peer{TCPConn: nc, p: p, since: time.Now(), idle: make(chan struct{})}
	c.from, c.near = origin(nc.RemoteAddr())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.placeFor(c) {
		return false
	}
	p.from[c.from]++
	p.from[c.near]++
	p.greets++
	p.stats.Waiting.Add(1)
	p.all[c] = true
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		c.wait()
	}()
	return true
}

// placeFor reports whether a connection may wait. Where no place is free, one of who has the most
// gives way to who has fewer: a few addresses cannot keep out all others. The lock is held.
func (p *Proxy) placeFor(c *peer) bool {
	if p.from[c.from] >= maxPerAddress || p.from[c.near] >= maxPerNetwork {
		return false
	}
	waiting := p.stats.Waiting.Load() >= maxWaiting
	if !waiting && p.greets < maxGreeting {
		return true
	}
	var worst *peer
	for o := range p.all {
		if o.settled || !waiting && o.shown != "" {
			continue
		}
		if d := p.from[o.from]; worst == nil || d > p.from[worst.from] || d == p.from[worst.from] && o.since.Before(worst.since) {
			worst = o
		}
	}
	if worst == nil || p.from[worst.from] <= p.from[c.from]+1 {
		return false
	}
	p.stats.Refused.Add(1)
	worst.leave()
	return true
}

// leave ends a connection that waits. The lock is held.
func (c *peer) leave() {
	c.settle()
	delete(c.p.all, c)
	c.Close()
}

// settle takes a connection off those that wait. The lock is held.
func (c *peer) settle() {
	p := c.p
	c.settled = true
	p.stats.Waiting.Add(-1)
	for _, from := range []netip.Prefix{c.from, c.near} {
		if p.from[from]--; p.from[from] <= 0 {
			delete(p.from, from)
		}
	}
	if c.shown == "" {
		p.greets--
		return
	}
	list := slices.DeleteFunc(slices.Clone(p.waiting[c.shown]), func(o *peer) bool { return o == c })
	if p.waiting[c.shown] = list; len(list) == 0 {
		delete(p.waiting, c.shown)
	}
}

// take is settle for a connection that is about to be joined: it belongs to who has taken it when
// idle is closed. The lock is held.
func (c *peer) take() {
	c.settle()
	c.SetReadDeadline(time.Unix(1, 0)) // whoever reads it stops
}

// wait is the life of a connection until somebody takes it: a handshake, then nothing that
// counts.
func (c *peer) wait() {
	defer close(c.idle)
	c.SetDeadline(time.Now().Add(greetingWithin))
	shown, accept, err := greet(c.TCPConn)
	if err == nil {
		ok := c.stand(shown)
		if err = accept(ok); err == nil && ok {
			c.ignore()
		}
		if !ok {
			err = errSOCKS
		}
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.settled { // taken, or it had to give way
		return
	}
	if err != nil {
		c.p.stats.Refused.Add(1)
	}
	c.leave()
}

// stand puts a connection under what it has shown, false where two stand there.
func (c *peer) stand(shown string) bool {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.settled || len(c.p.waiting[shown]) >= 2 { // XEP-0065 §10.1: one target
		return false
	}
	c.shown = shown
	c.p.greets--
	c.p.waiting[shown] = append(slices.Clone(c.p.waiting[shown]), c)
	c.SetReadDeadline(time.Now().Add(joinedWithin)) // before somebody can take it
	return true
}

// ignore reads what comes before the stream is activated (XEP-0065 §10.1), until that happens, or
// the connection ends, or it was long enough.
func (c *peer) ignore() {
	buf := make([]byte, 512)
	for early := 0; early <= maxEarly; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		early += n
	}
}

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
	p     *Proxy
	from  string        // the network that it counts for while it waits
	shown string        // the hash of its stream
	taken bool          // somebody joins it, or has; under the proxy's lock
	idle  chan struct{} // closed when it does not wait any more
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

// network is what an address is counted by: itself, or for IPv6 the /64 around it.
func network(a net.Addr) string {
	addr := a.(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

// admit counts a connection among those that wait, false if there are too many.
func (p *Proxy) admit(nc *net.TCPConn) bool {
	c := &peer{TCPConn: nc, p: p, from: network(nc.RemoteAddr()), idle: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.from[c.from] >= maxPerAddress || p.stats.Waiting.Load() >= maxWaiting {
		return false
	}
	p.from[c.from]++
	p.stats.Waiting.Add(1)
	p.all[c] = true
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		c.wait()
	}()
	return true
}

// settle takes a connection off those that wait. The lock is held.
func (c *peer) settle() {
	p := c.p
	p.stats.Waiting.Add(-1)
	if p.from[c.from]--; p.from[c.from] <= 0 {
		delete(p.from, c.from)
	}
	if c.shown == "" {
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
	c.taken = true
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
	if err != nil {
		c.p.stats.Refused.Add(1)
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if !c.taken {
		c.settle()
		delete(c.p.all, c)
		c.Close()
	}
}

// stand puts a connection under what it has shown, false where two stand there.
func (c *peer) stand(shown string) bool {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if len(c.p.waiting[shown]) >= 2 { // XEP-0065 §10.1: one target
		return false
	}
	c.shown = shown
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

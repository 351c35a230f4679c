package s2s

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A doorway is where a door listens.
type doorway struct {
	stopping atomic.Bool // nobody is let in any more

	mu        sync.Mutex // a leaf
	listeners []net.Listener
}

// serve gives the connections of l to take until l is closed or the door stops.
func (d *doorway) serve(l net.Listener, log *slog.Logger, take func(*net.TCPConn)) error {
	d.mu.Lock()
	d.listeners = append(d.listeners, l)
	d.mu.Unlock()
	if d.stopping.Load() { // CloseListeners may not have seen it
		return l.Close()
	}
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if d.stopping.Load() || errors.Is(err, net.ErrClosed) {
				return nil
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			log.Error("accepting a connection failed; is the limit on open files too low?", "address", l.Addr().String(), "error", err)
			time.Sleep(pause)
			continue
		}
		pause = 0
		take(nc.(*net.TCPConn))
	}
}

// closeListeners has nobody connect any more.
func (d *doorway) closeListeners() {
	d.stopping.Store(true)
	d.mu.Lock()
	list := d.listeners
	d.listeners = nil
	d.mu.Unlock()
	for _, l := range list {
		l.Close()
	}
}

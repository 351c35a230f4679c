package s2s

import (
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// serve gives the connections of l to take until l is closed or the door stops.
func serve(l net.Listener, stopping *atomic.Bool, log *slog.Logger, take func(*net.TCPConn)) error {
	if stopping.Load() {
		return l.Close()
	}
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if stopping.Load() || errors.Is(err, net.ErrClosed) {
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

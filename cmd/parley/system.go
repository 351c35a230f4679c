package main

import (
	"context"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// raiseFileLimit lets the process have as many connections as the system allows it.
func raiseFileLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// notify tells the service manager how things stand, where there is one.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte(state))
}

// quieten gives memory back to the system when a storm of logins is over: what a login
// needs for a moment is several times what a session needs for hours.
func (s *server) quieten(ctx context.Context) {
	tick := time.NewTicker(4 * time.Second)
	defer tick.Stop()
	var seen, done, again int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := s.c2s.Stats().Accepted.Load()
		switch {
		case n-done > 100 && n == seen:
			runtime.GC()
			debug.FreeOSMemory()
			done, again = n, 3
		case again > 0: // and once more when the sessions have been parked
			if again--; again == 0 {
				debug.FreeOSMemory()
			}
		}
		seen = n
	}
}

// tidyEvery is how often what is too old is looked for.
const tidyEvery = time.Hour

// tidy has the features delete what is too old, first when the start is over.
func (s *server) tidy(ctx context.Context) {
	for next := time.Minute; ; next = tidyEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
			s.router.Tidy(ctx)
		}
	}
}

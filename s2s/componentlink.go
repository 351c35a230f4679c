package s2s

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"parley/router"
	"parley/xmpp"
)

// What a component may send that has proved nothing yet, in bytes; and how soon one has to
// answer whose place somebody else wants.
const (
	unprovenComponent = 16 << 10
	conflictPatience  = 5 * time.Second
)

// A componentLink is one stream of a component, or of somebody who says to be one.
type componentLink struct {
	c       *Components
	id      string // of the stream, and in the log
	t       *xmpp.TCP
	st      *xmpp.Stream
	addr    netip.AddrPort
	prefix  netip.Prefix
	k       *component   // which it says to be; the reader's until it has proved it
	from    *router.Link // what comes is spoken through it
	began   time.Time
	counted bool // among those that have proved nothing; the lock of c guards it

	mu       sync.Mutex // a leaf
	buf      []byte     // to be written
	last     []byte     // behind that, when the stream ends
	writing  bool
	stuck    bool // the socket had refused bytes when it was last written to
	over     bool
	proved   bool
	heard    time.Time     // when bytes last came
	asked    time.Time     // when it was asked whether it is there; zero: it has answered
	patience time.Duration // it has for that
}

// accept takes a connection.
func (c *Components) accept(nc *net.TCPConn, direct bool) {
	addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	t, err := xmpp.NewTCP(nc)
	if err != nil {
		nc.Close()
		return
	}
	l := &componentLink{c: c, id: newID(), t: t, addr: addr, prefix: addressPrefix(addr.Addr()), began: time.Now()}
	l.heard = l.began
	l.st = xmpp.NewStream(t, xmpp.NSComponent, false, xmpp.Limits{Stanza: unprovenComponent})
	if !c.admit(l) {
		c.stats.Refused.Add(1)
		nc.Close() // over the limit: no XMPP error (XEP-0205 §4.1)
		return
	}
	c.stats.Accepted.Add(1)
	go func() {
		defer c.forget(l)
		err := l.open(direct)
		if err == nil {
			err = l.attend()
			var rd router.Round
			l.from.Settle(&rd)
			rd.Flush()
		}
		l.finish(err)
		l.st.Close(lingerAfter)
	}()
}

func (l *componentLink) log() *slog.Logger {
	log := l.c.log.With("link", l.id[:10], "addr", l.addr.String())
	if l.k != nil {
		log = log.With("component", l.k.jid.Domain())
	}
	return log
}

// attend reads stanzas until the stream ends.
func (l *componentLink) attend() (err error) {
	defer func() {
		if p := recover(); p != nil { // it ends the stream, not the house
			l.log().Error("a stanza's handling panicked", "panic", p, "stack", string(debug.Stack()))
			err = xmpp.EndStream("internal-server-error", "")
		}
	}()
	var rd router.Round
	defer rd.Flush()
	for n := 1; ; n++ {
		st, err := l.st.Next()
		switch {
		case errors.Is(err, xmpp.ErrMore):
			rd.Flush()
			if err := l.t.Wait(); err != nil {
				return err
			}
			l.noteHeard()
			n = 0
			continue
		case err != nil:
			return err
		}
		if err := l.handle(&rd, st); err != nil {
			return err
		}
		if n%stanzasARound == 0 {
			rd.Flush()
			l.noteHeard()
		}
	}
}

func (l *componentLink) noteHeard() {
	l.mu.Lock()
	l.heard, l.asked = time.Now(), time.Time{}
	l.mu.Unlock()
}

// handle takes one element of the component (XEP-0114 §3, RFC 6120 §8.1.1.2, §8.1.2.2).
func (l *componentLink) handle(rd *router.Round, st *xmpp.Stanza) error {
	switch {
	case st.Kind == xmpp.Nonza:
		if st.Name == (xmpp.Name{Space: xmpp.NSStream, Local: "error"}) {
			condition, text := streamErrorOf(st)
			l.log().Warn("a component ends the stream", "condition", condition, "text", text)
			return &theirs{condition, text}
		}
		return xmpp.EndStream("unsupported-stanza-type", "")
	case st.Fault != nil:
		return l.malformed(rd, st)
	case st.From.IsZero() || st.To.IsZero():
		return xmpp.EndStream("improper-addressing", "a stanza needs 'from' and 'to'")
	case !l.k.speaks(st.From.Domain()):
		return xmpp.EndStream("invalid-from", "%s does not speak for %s", l.k.jid, st.From.Domain())
	}
	l.k.in.Add(1)
	l.from.Deliver(context.Background(), rd, st)
	return nil
}

// malformed answers a stanza with an address that is none. The stream lives: a gateway makes
// addresses of names that strangers choose, and these shall not end it for everybody.
func (l *componentLink) malformed(rd *router.Round, st *xmpp.Stanza) error {
	switch {
	case !st.From.IsZero() && !l.k.speaks(st.From.Domain()):
		return xmpp.EndStream("invalid-from", "%s does not speak for %s", l.k.jid, st.From.Domain())
	case st.From.IsZero():
		l.log().Warn("a stanza of a component is dropped", "reason", st.Fault.Text)
	}
	l.k.in.Add(1)
	answer := xmpp.Bounce(st, st.Fault)
	if answer == nil {
		return nil
	}
	if answer.To.IsZero() {
		answer.To = l.k.jid
	}
	if l.push(answer) == nil {
		rd.Touch(l)
	}
	return nil
}

// push queues a stanza. It never waits. errOver says that the stream is over; any other error
// is for who sent it.
func (l *componentLink) push(st *xmpp.Stanza) *xmpp.Error {
	most := l.c.settings.Load().QueueBytes
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return errOver
	}
	if full := len(l.buf) + st.Len(); l.writing || l.stuck || full > most/4 {
		if backlog, _ := l.t.Backlog(); full+backlog > most {
			return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too much waits for " + l.k.jid.Domain()}
		}
	}
	l.buf = l.st.Append(l.buf, st)
	return nil
}

// keepComponentBuffer is the largest buffer that is kept for the next write, in bytes.
const keepComponentBuffer = 64 << 10

// Flush implements router.Flusher.
func (l *componentLink) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing {
		return
	}
	for len(l.buf) > 0 {
		out := l.buf
		l.buf, l.writing = nil, true
		l.mu.Unlock()
		err := l.t.Write(out)
		backlog, _ := l.t.Backlog()
		l.mu.Lock()
		l.writing, l.stuck = false, backlog > 0
		if err != nil {
			l.buf = nil // the reader finds the connection lost
			return
		}
		if l.buf == nil && !l.over && cap(out) <= keepComponentBuffer {
			l.buf = out[:0]
		}
		if l.over {
			l.buf, l.last = l.last, nil
		}
	}
}

// finish ends the stream for what reading has said.
func (l *componentLink) finish(err error) {
	var wrong *xmpp.StreamError
	switch {
	case l.st.Ended():
		err = nil
	case errors.As(err, &wrong):
		l.log().Warn("a component's stream is ended", "condition", wrong.Condition, "text", wrong.Text)
	}
	l.mu.Lock()
	first := !l.over
	l.mu.Unlock()
	if first && l.k != nil && l.k.link.Load() == l {
		l.log().Info("a component is gone", "error", err)
	}
	l.end(err)
}

// end ends the stream, with an error if there is one. Only the first call does anything.
func (l *componentLink) end(err error) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over = true
	var wrong *xmpp.StreamError
	switch {
	case errors.As(err, &wrong):
		l.last = l.st.AppendClose(nil, wrong)
	case err == nil || errors.Is(err, io.EOF):
		l.last = l.st.AppendClose(nil, nil)
	}
	if !l.writing {
		l.buf, l.last = append(l.buf, l.last...), nil
	}
	proved := l.proved
	l.mu.Unlock()
	if proved {
		l.k.parted(l)
	}
	l.Flush()
	time.AfterFunc(lingerAfter, func() { l.st.Close(0) }) // what it has sent by now is taken yet (RFC 6120 §4.4)
}

// ask asks the component whether it is still there (XEP-0199 §4). Any answer is one.
func (l *componentLink) ask(patience time.Duration) {
	l.mu.Lock()
	if !l.asked.IsZero() && l.patience <= patience || l.over {
		l.mu.Unlock()
		return
	}
	l.asked, l.patience = time.Now(), patience
	l.mu.Unlock()
	hosts := l.c.cfg.Router.Hosts()
	from, err := xmpp.NewJID("", hosts[0], "")
	if err != nil {
		return
	}
	var b xmpp.Builder
	l.c.cfg.Router.Ask(from, l.k.jid, "get", b.Open("urn:xmpp:ping", "ping").Payload(), patience, func(*xmpp.Stanza) {})
}

// look is called now and then by the sweeper.
func (l *componentLink) look(now time.Time) {
	set := l.c.settings.Load()
	backlog, since := l.t.Backlog()
	l.mu.Lock()
	over, proved := l.over, l.proved
	quiet, asked, patience := now.Sub(l.heard), l.asked, l.patience
	l.mu.Unlock()
	switch {
	case over:
	case !proved && now.Sub(l.began) > set.Handshake:
		l.end(xmpp.EndStream("connection-timeout", "no handshake in %s", set.Handshake))
	case !proved:
	case backlog > 0 && !since.IsZero() && now.Sub(since) > set.Stall:
		l.log().Warn("a component takes nothing any more", "waiting_bytes", backlog)
		l.end(xmpp.EndStream("connection-timeout", "nothing was taken in %s", set.Stall))
	case !asked.IsZero() && now.Sub(asked) > patience:
		l.log().Warn("a component does not answer any more")
		l.end(xmpp.EndStream("connection-timeout", "no answer in %s", patience))
	case asked.IsZero() && set.Idle > 0 && quiet > set.Idle:
		l.ask(set.Patience)
	}
}

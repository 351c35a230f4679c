package c2s

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

// linger is how long a stream that has ended may take to send what is left.
const linger = 2 * time.Second

// A conn is one connection of a client, from accepting it to its end. Until a resource is
// bound it is driven by negotiate, plain code that waits; after that by live.
type conn struct {
	srv    *Server
	set    *Settings
	t      line
	s      *xmpp.Stream
	id     string // in every line of the log about this connection
	addr   netip.Addr
	direct bool

	login  *login         // what negotiation needs; nil afterwards
	sess   *session       // nil until a resource is bound or a session resumed
	sender *router.Sender // the session's
	jid    xmpp.JID       // full, once bound
	out    outlet
	claims *session // that it is about to resume
	misuse int      // requests of stream management out of turn
	mine   *budget  // of the account
	near   *budget  // of the address
	paid   uint64   // bytes that were counted against these
	said   bool     // the reader has written something that is not flushed

	heard   atomic.Int64 // when bytes last came, Unix nanoseconds
	asked   atomic.Int64 // when the server asked whether the client lives; 0 unless it waits
	partial atomic.Int64 // since when a stanza is incomplete; 0 if none is
	bound   atomic.Bool  // sender and jid are there to stay
	ended   atomic.Int32 // the end of the stream has begun: endedWell or endedLost
	parked  atomic.Bool  // nothing but park waits for the client
}

// How a stream ends.
const (
	endedWell = 1 + iota // and its session with it
	endedLost            // its session may wait for another connection (XEP-0198 §7)
)

// login is the state of a stream on its way to a session.
type login struct {
	host     string
	lang     string
	from     string // what the client said it is; a hint (XEP-0388 §3)
	channel  auth.Channel
	offered  []string // mechanisms of the features sent last
	account  auth.Account
	agent    xmpp.UserAgent // which client it says it is
	shown    *auth.Exchange // how it has logged in
	known    bool           // authenticated
	version  string         // of what was announced (XEP-0509)
	opening  []byte         // our stream header, which leaves with the features
	since    uint64         // the router's Forgets when the last attempt began
	claimed  xmpp.JID       // whom the last attempt was for; for the log
	failures int
	ctx      context.Context // ends with the time for logging in, or the server
	stop     context.CancelFunc
}

func newConn(s *Server, t line, framed bool, addr netip.Addr) *conn {
	c := &conn{srv: s, set: s.settings.Load(), t: t, addr: addr, login: &login{}}
	c.id = strings.ToLower(rand.Text()[:10])
	c.s = xmpp.NewStream(t, xmpp.NSClient, framed, xmpp.Limits{Stanza: c.set.StanzaBefore})
	c.out.pass(&queue{stream: c.s, set: c.set})
	c.expectHeader()
	return c
}

// expectHeader begins a stream: whatever ends it before the client's header has come is
// told behind a header of ours.
func (c *conn) expectHeader() {
	c.out.begin(c.s.AppendHeader(nil, "", c.login.host, newID(), "en"))
}

// log returns the logger of the connection, made when it is needed: an idle session
// should not hold one.
func (c *conn) log() *slog.Logger {
	l := c.srv.log.With("conn", c.id, "addr", c.addr.String())
	if c.bound.Load() {
		l = l.With("jid", c.jid.String())
	}
	return l
}

// End writes the error and the end of the stream and closes. The reader finds the
// connection closed and takes the session out. Only the first call of End and lose does
// anything.
func (c *conn) End(err *xmpp.StreamError) { c.end(err, endedWell) }

// lose is End for a session that outlives its stream, if it may be resumed.
func (c *conn) lose(err *xmpp.StreamError) { c.end(err, endedLost) }

func (c *conn) end(err *xmpp.StreamError, how int32) {
	if !c.ended.CompareAndSwap(0, how) {
		return
	}
	if err != nil {
		c.srv.countError(err.Condition)
		c.logEnd(err)
	}
	c.out.end(c.s.AppendClose(nil, err), func() { c.s.Close(linger) })
}

// logEnd leaves out what there is nothing to say of.
func (c *conn) logEnd(err *xmpp.StreamError) {
	l := c.log().With("condition", err.Condition)
	if err.Text != "" {
		l = l.With("text", err.Text)
	}
	if err.Cause != nil {
		l = l.With("cause", err.Cause)
	}
	l.Info("stream ended by the server")
}

// stanzasARound is how many stanzas of one client are handled before what they caused is
// written.
const stanzasARound = 64

// rounds are those of readers, each in use for as long as its session has something to
// read.
var rounds = sync.Pool{New: func() any { return new(router.Round) }}

// work handles what has come and returns false when the stream is over.
func (c *conn) work() bool {
	c.lives()
	rd := rounds.Get().(*router.Round)
	defer rounds.Put(rd) // flushed in every case
	for n := 1; ; n++ {
		st, err := c.s.Next()
		if err == nil {
			err = c.take(rd, st)
		}
		switch {
		case errors.Is(err, xmpp.ErrMore):
			c.flush(rd)
			c.notePartial(n > 1)
			c.pace()
			return true
		case err != nil:
			c.sender.Settle(rd)
			c.sess.lastWord()
			rd.Flush()
			c.finish(err)
			return false
		}
		if n%stanzasARound == 0 {
			c.flush(rd)
			c.pace()
			c.lives() // one that never pauses is never out of work
		}
	}
}

// take handles one element.
func (c *conn) take(rd *router.Round, st *xmpp.Stanza) error {
	if st.Kind == xmpp.Nonza {
		if c.sess.state(st) {
			return nil
		}
		if st.Name.Space == nsSM {
			return c.manage(rd, st)
		}
	}
	err := c.sender.Send(context.Background(), rd, st)
	if sm := c.sess.sm.Load(); sm != nil && err == nil {
		sm.taken.Add(1)
	}
	return err
}

// flush writes what handling has caused, and what the reader has to say by itself.
func (c *conn) flush(rd *router.Round) {
	rd.Flush()
	if c.said {
		c.said = false
		c.out.flush()
	}
}

// lives notes that the client has sent something.
func (c *conn) lives() {
	c.heard.Store(time.Now().UnixNano())
	c.asked.Store(0)
}

// notePartial notes since when a stanza is incomplete; another, if some became complete.
func (c *conn) notePartial(progress bool) {
	switch pending := c.s.Pending(); {
	case !pending:
		c.partial.Store(0)
	case progress || c.partial.Load() == 0:
		c.partial.Store(time.Now().UnixNano())
	}
}

// finish ends the stream for what reading or handling said: the client's closing tag, an
// error of its own making, or the connection's end.
func (c *conn) finish(err error) {
	var wrong *xmpp.StreamError
	switch {
	case errors.As(err, &wrong):
		c.End(wrong)
	case errors.Is(err, xmpp.ErrUnread):
		c.lose(endUnread())
	case c.s.Ended(): // RFC 6120 §4.4
		c.End(nil)
	case errors.Is(err, io.EOF): // who only stops writing may still read, but has not closed the stream (XEP-0198 §7)
		c.lose(nil)
	case c.ended.CompareAndSwap(0, endedLost):
		if !quiet(err) {
			c.log().Debug("connection lost", "error", err)
		}
		c.out.end(nil, func() { c.s.Close(0) })
	}
}

// quiet reports whether an error is how connections usually end.
func quiet(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// leave parts the session from its connection, which is over, and takes it out of the house
// unless it waits for another one.
func (c *conn) leave() {
	c.unbudget()
	if !c.srv.sleep(c.sess, c) {
		c.sess.finish()
		c.log().Info("session closed")
	}
	c.srv.forget(c)
}

// look is called now and then by the sweeper, on its goroutine.
func (c *conn) look(now time.Time) {
	if !c.bound.Load() || c.ended.Load() != 0 {
		return
	}
	c.quieten(now)
	s := c.sess
	if since := c.partial.Load(); since != 0 && now.Sub(time.Unix(0, since)) > c.set.StanzaTimeout {
		c.lose(xmpp.EndStream("connection-timeout", "a stanza was not complete in %s", c.set.StanzaTimeout))
		return
	}
	heard := time.Unix(0, c.heard.Load())
	silent := now.Sub(heard) > c.set.Idle
	if s.sm.Load() != nil { // the question whether it has all is one whether it is there
		since := s.out.asking(now, silent)
		s.Flush()
		if !since.IsZero() && since.After(heard) && now.Sub(since) > c.set.PingTimeout {
			c.lose(xmpp.EndStream("connection-timeout", "no sign of life"))
		}
		return
	}
	if asked := c.asked.Load(); asked != 0 {
		if now.Sub(time.Unix(0, asked)) > c.set.PingTimeout {
			c.lose(xmpp.EndStream("connection-timeout", "no sign of life"))
		}
		return
	}
	if silent {
		c.asked.Store(now.UnixNano())
		var b xmpp.Builder
		var rd router.Round // RFC 6120 §4.6.4; XEP-0199 §4.1
		c.sender.Ask(&rd, "get", "ping-"+c.id, b.Open("urn:xmpp:ping", "ping").Payload(), func(*xmpp.Stanza) {})
		rd.Flush()
	}
}

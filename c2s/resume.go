package c2s

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"parley/auth"
	"parley/router"
	"parley/xmpp"
)

// resumeKey stands for the id of a session that may be resumed, together with its account:
// another account's id leads to it no more than one that was made up, and looking for it
// takes the same time.
type resumeKey [sha256.Size]byte

func keyOf(bare xmpp.JID, id string) resumeKey {
	return sha256.Sum256([]byte(bare.String() + "\x00" + id))
}

// maxRemembered is of how many sessions that are over the last count is remembered, and
// rememberFor for how long.
const (
	maxRemembered = 4096
	rememberFor   = 24 * time.Hour
)

// lastCount is how many stanzas of a client were handled in a session that is over.
type lastCount struct {
	key resumeKey
	at  time.Time
}

// sleepers are the sessions that may be resumed. It is guarded by the server's lock.
type sleepers struct {
	resumable map[resumeKey]*session
	asleep    map[xmpp.JID][]*session // by bare JID, in the order in which they fell asleep
	n         int                     // of those
	counts    map[resumeKey]uint32    // of sessions that are over
	order     []lastCount             // the same, oldest first
}

// pass puts a session into another phase. The lock is held. One that is over stays so.
func (s *session) pass(to phase) {
	srv := s.srv
	if s.phase == asleep {
		bare := s.jid.Bare()
		list := srv.asleep[bare]
		if i := slices.Index(list, s); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
		if srv.asleep[bare] = list; len(list) == 0 {
			delete(srv.asleep, bare)
		}
		srv.n--
	}
	if s.phase != over {
		s.phase = to
	}
	switch sm := s.sm.Load(); {
	case s.phase == asleep:
		srv.asleep[s.jid.Bare()] = append(srv.asleep[s.jid.Bare()], s)
		srv.n++
	case s.phase == over && sm != nil && sm.max > 0:
		delete(srv.resumable, sm.key)
	}
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// enroll makes a session one that may be resumed.
func (srv *Server) enroll(s *session, key resumeKey) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.phase != over {
		srv.resumable[key] = s
	}
}

// sleep has a session wait to be resumed whose connection was lost, and whose reader this
// is. It returns false where it is over.
func (srv *Server) sleep(s *session, c *conn) bool {
	if c.ended.Load() == endedLost {
		s.unsure()
	}
	sm := s.sm.Load()
	keep := c.ended.Load() == endedLost && c.bound.Load() && sm != nil && sm.max > 0
	keep = keep && s.out.detach()
	most := srv.settings.Load().SMSessions
	srv.mu.Lock()
	s.conn = nil
	if !keep || s.phase == over || most == 0 {
		s.pass(over)
		srv.mu.Unlock()
		return false
	}
	s.until = time.Now().Add(sm.max).Unix()
	s.pass(asleep)
	var oldest *session
	if list := srv.asleep[s.jid.Bare()]; len(list) > most {
		oldest = list[0]
	}
	srv.mu.Unlock()
	c.log().Info("session waits to be resumed", "max", sm.max.String())
	s.sender.Lost()
	if oldest != nil {
		oldest.expire()
	}
	return true
}

// claim returns the session of that key, for a connection that is about to resume it: awake
// has to follow, or drop. It ends the connection that the session still has, and waits until
// the reader of that is through. Where there is no such session it returns nil.
func (srv *Server) claim(ctx context.Context, key resumeKey) (*session, error) {
	for {
		srv.mu.Lock()
		s := srv.resumable[key]
		if s == nil {
			srv.mu.Unlock()
			return nil, nil
		}
		if s.phase == asleep {
			s.pass(waking)
			srv.mu.Unlock()
			return s, nil
		}
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved, c := s.moved, s.conn
		srv.mu.Unlock()
		if c != nil { // XEP-0198 §5
			c.lose(xmpp.EndStream("conflict", "the session goes on on another connection"))
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// awake gives a claimed session its connection, and returns false if it is over.
func (srv *Server) awake(s *session, c *conn) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.phase == over {
		return false
	}
	s.conn = c
	s.pass(connected)
	return true
}

// drop ends a claimed session.
func (srv *Server) drop(s *session) {
	srv.mu.Lock()
	s.pass(over)
	srv.mu.Unlock()
	s.endAway()
}

// expire ends the sessions that have waited for long enough. It is called by the sweeper.
func (srv *Server) expire(now time.Time) {
	var late []*session
	srv.mu.Lock()
	for _, list := range srv.asleep {
		for _, s := range list {
			if now.Unix() >= s.until {
				late = append(late, s)
			}
		}
	}
	srv.mu.Unlock()
	for _, s := range late {
		if s.expire() {
			srv.stats.Expired.Add(1)
		}
	}
}

// expire ends a session if it is still asleep, on a goroutine of its own.
func (s *session) expire() bool {
	srv := s.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.phase != asleep || srv.closed {
		return false
	}
	s.pass(over)
	srv.done.Add(1)
	go func() {
		defer srv.done.Done()
		s.endAway()
	}()
	return true
}

// sleeping takes all sessions that are asleep out of the list.
func (srv *Server) sleeping() (all []*session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, list := range srv.asleep {
		all = append(all, list...)
	}
	for _, s := range all {
		s.pass(over)
	}
	return all
}

// makeRoom ends the session of an account that has slept longest, and waits for that. It
// reports whether there was one.
func (srv *Server) makeRoom(bare xmpp.JID) bool {
	srv.mu.Lock()
	list := srv.asleep[bare]
	if len(list) == 0 {
		srv.mu.Unlock()
		return false
	}
	s := list[0]
	s.pass(over)
	srv.mu.Unlock()
	s.endAway()
	return true
}

// remember notes what a client is told that asks for a session which is over: how many of
// its stanzas were handled (XEP-0198 §5).
func (srv *Server) remember(s *session) {
	sm := s.sm.Load()
	if sm == nil || sm.max == 0 {
		return
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.counts[sm.key] = sm.taken.Load()
	srv.order = append(srv.order, lastCount{sm.key, time.Now()})
	for len(srv.order) > maxRemembered || time.Since(srv.order[0].at) > rememberFor {
		delete(srv.counts, srv.order[0].key)
		srv.order = srv.order[1:]
	}
}

// Asleep returns how many sessions wait to be resumed.
func (srv *Server) Asleep() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.n
}

// reclaim takes <resume/> from a client that has proved who it is (XEP-0198 §5): the session
// that it asks for, with nothing of it in flight, or what answers it where there is none.
func (c *conn) reclaim(previd, h string) (*session, xmpp.Payload, error) {
	count, err := strconv.ParseUint(h, 10, 32)
	if err != nil {
		return nil, failedSM("bad-request", 0, false), nil
	}
	srv, key := c.srv, keyOf(c.login.account.JID, previd)
	s, err := srv.claim(c.login.ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if s == nil {
		srv.stats.ResumesFailed.Add(1)
		srv.mu.Lock()
		last, known := srv.counts[key]
		srv.mu.Unlock()
		return nil, failedSM("item-not-found", last, known), nil
	}
	c.claims = s // negotiate ends it where this connection does not get to reenter
	var rd router.Round
	s.sender.Settle(&rd)
	if err := s.ack(uint32(count)); err != nil {
		return nil, nil, err
	}
	return s, nil, nil
}

// resumed is what answers for a session that was claimed.
func (s *session) resumed(b *xmpp.Builder, previd string) {
	b.Open(nsSM, "resumed", "previd", previd, "h", decimal(s.sm.Load().taken.Load())).Close()
}

// success is what answers for it inside SASL2: no features follow (XEP-0198 §9.2).
func (s *session) success(last []byte, previd string, token auth.Token) []byte {
	var b xmpp.Builder
	b.Open(nsSASL2, "success")
	if last != nil {
		b.Leaf("", "additional-data", base64.StdEncoding.EncodeToString(last))
	}
	b.Leaf("", "authorization-identifier", s.jid.String())
	s.resumed(&b, previd)
	appendToken(&b, token)
	return b.Payload()
}

// reenter goes on with a session that was claimed, with this answer first.
func (c *conn) reenter(s *session, answer []byte) error {
	c.sess, c.sender, c.jid, c.claims = s, s.sender, s.jid, nil
	c.out.pass(s.out)
	c.lives()
	c.t.SetUnread(2*c.set.Queue + c.set.Stanza)
	err := s.out.attach(c.s, c.set, answer)
	if !c.srv.awake(s, c) {
		c.End(xmpp.EndStream("conflict", "the session has just ended"))
		return err
	}
	c.budgets()
	c.bound.Store(true)
	if c.ended.Load() != 0 { // whoever ended it may not have seen the queue
		c.s.Close(0)
	}
	c.srv.stats.Resumed.Add(1)
	c.log().Info("session resumed")
	if err == nil {
		err = c.holds()
	}
	return err
}

// early takes an element of stream management before a resource is bound (XEP-0198 §3, §5).
func (c *conn) early(st *xmpp.Stanza) error {
	if st.Name.Local != "resume" || !c.login.known {
		return c.misused()
	}
	previd, _ := st.Attr("previd")
	h, _ := st.Attr("h")
	s, failed, err := c.reclaim(previd, h)
	if err != nil {
		return err
	}
	if s == nil {
		if c.misuse++; c.misuse > maxMisuse {
			return xmpp.EndStream("policy-violation", "too many sessions that are none")
		}
		return c.out.write(failed)
	}
	var b xmpp.Builder
	s.resumed(&b, previd)
	return c.reenter(s, b.Payload())
}

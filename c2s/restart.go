package c2s

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// rest saves the sessions that wait to be resumed, for Restore. No reader is left, and those
// whose sessions ended have taken leave of these. What cannot be saved ends.
func (srv *Server) rest(ctx context.Context) {
	list := srv.sleeping()
	if srv.cfg.Store == nil || len(list) == 0 {
		for _, s := range list {
			s.endAway()
		}
		return
	}
	srv.cfg.Router.Wait(ctx)
	srv.cfg.Router.Land(ctx) // what is saved of a queue is under which ids the rest of it stands
	var saved []savedSession
	left := make([][]sent, len(list))
	for i, s := range list {
		state, ok := s.sender.Save()
		acked, told := s.out.counts()
		left[i] = s.out.close()
		if sv, err := s.pack(state, left[i]); ok && err == nil {
			sv.acked, sv.told = acked, told
			saved = append(saved, sv)
		}
	}
	err := srv.cfg.Store.Write(ctx, func(tx *storage.Tx) error { return saveAll(tx, saved) })
	if err != nil {
		srv.log.Error("sessions could not be saved; their clients log in again", "sessions", len(list), "error", err)
		for i, s := range list {
			s.conclude(left[i])
		}
		return
	}
	srv.log.Info("sessions saved", "sessions", len(saved))
}

func (s *session) pack(state router.Saved, left []sent) (sv savedSession, err error) {
	sm := s.sm.Load()
	sv = savedSession{key: sm.key, until: s.until, lasts: int64(sm.max / time.Second), taken: sm.taken.Load()}
	for _, l := range left {
		sv.queue = append(sv.queue, savedStanza{s.srv.cfg.Router.Row(l.id), l.st.AppendNS(nil, xmpp.NSClient)})
	}
	sv.state, err = json.Marshal(state)
	return sv, err
}

// counts returns how many stanzas the client has acknowledged, and how many it was sent
// besides.
func (q *queue) counts() (acked uint32, told int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sm.acked, q.sm.told
}

// Restore has the sessions that the last Shutdown has saved wait for their clients again. It
// is called once, before Serve. One of which something is missing ends, and those who saw it
// hear of that; and so does one whose time was over meanwhile.
func (srv *Server) Restore(ctx context.Context) error {
	if srv.cfg.Store == nil {
		return nil
	}
	var saved []savedSession
	err := srv.cfg.Store.Write(ctx, func(tx *storage.Tx) (err error) {
		saved, err = takeAll(tx)
		return err
	})
	if err != nil {
		return err
	}
	var broken []*session
	n := 0
	for _, sv := range saved {
		s, err := srv.unpack(ctx, sv)
		switch {
		case errors.Is(err, router.ErrNotWhole):
			broken = append(broken, s)
		case err != nil:
			srv.log.Warn("a saved session is lost", "error", err)
		default:
			n++
		}
	}
	for _, s := range broken { // now that all who see it are there
		s.expire()
	}
	if len(saved) > 0 {
		srv.log.Info("sessions restored", "sessions", n, "lost", len(saved)-n)
	}
	return nil
}

// ExpireSaved has the sessions of an account that wait on the disk for the next start of the
// server end then, and those who saw them hear of it. It returns how many these are; beside
// a running server, which has taken all up, there are none.
func ExpireSaved(ctx context.Context, store *storage.Store, bare xmpp.JID) (n int, err error) {
	err = store.Write(ctx, func(tx *storage.Tx) (err error) {
		n, err = expireAll(tx, bare)
		return err
	})
	return n, err
}

// unpack makes a session of what was saved.
func (srv *Server) unpack(ctx context.Context, sv savedSession) (*session, error) {
	var state router.Saved
	if err := json.Unmarshal(sv.state, &state); err != nil {
		return nil, err
	}
	set := srv.settings.Load()
	o := &outbound{limits: srv.settings.Load, lasting: true, acked: sv.acked}
	var ids []storage.ID
	whole := true
	for _, q := range sv.queue {
		st, err := xmpp.ParseStanzaBytes(q.stanza)
		if err != nil {
			whole = false
			continue
		}
		o.add(st, q.id, false, time.Now())
		if q.id != 0 {
			ids = append(ids, q.id)
		}
	}
	sm := &inbound{key: sv.key, max: time.Duration(sv.lasts) * time.Second}
	sm.taken.Store(sv.taken)
	o.said, o.told = sv.taken, min(sv.told, len(o.list))
	s := &session{srv: srv, until: sv.until, out: &queue{set: set, sm: o, over: true, err: errOver, dozing: &held{}}}
	s.sm.Store(sm)
	o.later = s.askLate
	sender, err := srv.cfg.Router.Restore(ctx, state, ids, func(full xmpp.JID) router.Session {
		s.jid = full
		return s
	})
	if sender == nil {
		return nil, err
	}
	s.sender = sender
	s.ready.Store(true)
	srv.mu.Lock()
	srv.resumable[sm.key] = s
	s.pass(asleep)
	srv.mu.Unlock()
	s.unsure() // as when its stream was lost: that is not on disk
	if err == nil && (!whole || set.SMTimeout == 0) {
		err = router.ErrNotWhole
	}
	return s, err
}

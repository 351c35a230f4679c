package command

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"sync"
	"time"

	"parley/router"
	"parley/xmpp"
)

// A session is one command under way (XEP-0050 §3.3): who runs it and what it has been
// through. It belongs to whoever has taken it.
type session struct {
	id     string
	asker  xmpp.JID       // full
	stages []router.Stage // the last is where it stands
	until  time.Time
}

func (s *session) stage() router.Stage { return s.stages[len(s.stages)-1] }

// sessions are those that wait for the next step.
type sessions struct {
	key []byte

	mu   sync.Mutex // a leaf
	byID map[string]*session
	mine map[xmpp.JID][]string // ids by bare address, the oldest first
}

func (t *sessions) open(key []byte) {
	t.key, t.byID, t.mine = key, map[string]*session{}, map[xmpp.JID][]string{}
}

// idBytes is how much of its random part proves an id: 128 bits.
const idBytes = 16

// newID makes an id that nobody can guess, and that shows whom and what it was made for.
// So one that is over is told from one that never was without keeping any.
func (t *sessions) newID(asker xmpp.JID, node string) string {
	nonce := strings.ToLower(rand.Text()) // 128 bits and more
	return nonce + "." + t.seal(nonce, asker, node)
}

func (t *sessions) seal(nonce string, asker xmpp.JID, node string) string {
	m := hmac.New(sha256.New, t.key)
	m.Write([]byte(nonce + "\x00" + asker.String() + "\x00" + node))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(m.Sum(nil)[:idBytes]))
}

// issued reports whether the id was made here, for this full address and this command.
func (t *sessions) issued(id string, asker xmpp.JID, node string) bool {
	nonce, seal, ok := strings.Cut(id, ".")
	return ok && hmac.Equal([]byte(seal), []byte(t.seal(nonce, asker, node)))
}

// take returns a session and takes it out, so that nobody else has it; nil where it is
// over, or somebody has it.
func (t *sessions) take(id string, now time.Time) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byID[id]
	if s == nil {
		return nil
	}
	t.remove(s)
	if now.After(s.until) {
		return nil
	}
	return s
}

// keep puts a session where it waits for the next step; false where there are too many.
// An account that has too many loses its oldest.
func (t *sessions) keep(s *session, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) >= atMost {
		t.sweep(now)
	}
	bare := s.asker.Bare()
	if ids := t.mine[bare]; len(ids) >= perAccount {
		t.remove(t.byID[ids[0]])
	}
	if len(t.byID) >= atMost {
		return false
	}
	s.until = now.Add(lifetime)
	t.byID[s.id] = s
	t.mine[bare] = append(t.mine[bare], s.id)
	return true
}

// sweep removes what has timed out. The lock is held.
func (t *sessions) sweep(now time.Time) {
	for _, s := range t.byID {
		if now.After(s.until) {
			t.remove(s)
		}
	}
}

// remove takes a session out. The lock is held.
func (t *sessions) remove(s *session) {
	delete(t.byID, s.id)
	bare := s.asker.Bare()
	var rest []string
	for _, id := range t.mine[bare] {
		if id != s.id {
			rest = append(rest, id)
		}
	}
	if t.mine[bare] = rest; len(rest) == 0 {
		delete(t.mine, bare)
	}
}

package router

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"parley/xmpp"
)

// maxQuestions is how many requests of the house may be unanswered.
const maxQuestions = 10_000

// questions are the requests of the house to anybody that are not answered yet.
type questions struct {
	mu sync.Mutex // a leaf
	m  map[string]*question
}

type question struct {
	to    xmpp.JID
	then  func(*xmpp.Stanza)
	timer *time.Timer
}

// Ask sends an IQ request of a domain of this house, or of the bare JID of an account of it
// (what the account may send its caller sees to), to anybody: an account or a resource of
// it, here or elsewhere. then is called once, with the answer, or with an error of the house
// where none comes (remote-server-timeout after patience). It may be called before Ask returns,
// and does not wait.
func (r *Router) Ask(from, to xmpp.JID, typ string, p xmpp.Payload, patience time.Duration, then func(*xmpp.Stanza)) {
	st := xmpp.NewStanza(xmpp.IQ, p)
	st.Type, st.From, st.To = typ, from, to
	if !r.Question(st, patience, then) {
		then(xmpp.Bounce(st, xmpp.Refuse("resource-constraint", "")))
		return
	}
	var rd Round
	defer rd.Flush()
	if err := r.send(&rd, st); err != nil && r.questions.take(st.ID, to) != nil {
		then(xmpp.Bounce(st, err))
	}
}

// Question gives a request of the house an id, by which its answer is known, for whoever sends it
// himself. then is called as Ask says. False: too many are open; nothing is called.
func (r *Router) Question(st *xmpp.Stanza, patience time.Duration, then func(*xmpp.Stanza)) bool {
	q := &question{to: st.To, then: then}
	r.questions.mu.Lock()
	defer r.questions.mu.Unlock()
	if len(r.questions.m) >= maxQuestions {
		return false
	}
	if r.questions.m == nil {
		r.questions.m = map[string]*question{}
	}
	st.ID = "ask-" + strings.ToLower(rand.Text())
	r.questions.m[st.ID] = q
	q.timer = time.AfterFunc(patience, func() {
		if r.questions.take(st.ID, st.To) != nil {
			then(xmpp.Bounce(st, xmpp.Refuse("remote-server-timeout", "")))
		}
	})
	return true
}

// send sends a request of the house on its way; an error says that nobody will answer.
func (r *Router) send(rd *Round, st *xmpp.Stanza) *xmpp.Error {
	if !r.Serves(st.To.Domain()) {
		return r.abroad(rd, st)
	}
	if st.To.Resource() == "" || st.To.Local() == "" {
		r.iq(context.Background(), rd, st, nil)
		return nil
	}
	if a, _ := r.accounts.get(st.To.Bare()); a != nil {
		defer a.pins.Add(-1)
		if res, ok := a.Resource(st.To.Resource()); ok && rd.Push(res.Session, st) == nil {
			return nil
		}
	}
	return xmpp.Refuse("service-unavailable", "")
}

// take takes out a question that was asked of somebody; nil where there is none.
func (q *questions) take(id string, of xmpp.JID) *question {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := q.m[id]
	if found == nil || found.to != of {
		return nil
	}
	delete(q.m, id)
	found.timer.Stop()
	return found
}

// answered gives an answer to who has asked. What nobody waits for is dropped (RFC 6120
// §10.3.3); then it returns false.
func (r *Router) answered(st *xmpp.Stanza) bool {
	q := r.questions.take(st.ID, st.From)
	if q == nil {
		return false
	}
	q.then(st)
	return true
}

package muc

import (
	"context"
	"errors"

	"parley/router"
	"parley/xmpp"
)

// request is an IQ request to a room.
type request struct {
	st      *xmpp.Stanza
	payload xmpp.Element
	seat    *seat // the asker's; nil where it is not in the room
	aff     affiliation
	later   *[]func()
}

// after has fn called behind the answer.
func (q request) after(fn func()) { *q.later = append(*q.later, fn) }

// handler answers a request to a room.
type handler func(*turn, request) (xmpp.Payload, error)

// errLater is the answer of a handler that answers by itself.
var errLater = errors.New("the answer comes later")

// asks says what a handler is for.
type asks struct{ typ, space, name string }

// tables are who answers what.
type tables struct {
	room    map[asks]handler
	service map[asks]func(*Service, *xmpp.Stanza) (xmpp.Payload, error)
}

// iq takes an IQ stanza for the room or an occupant.
func (t *turn) iq(st *xmpp.Stanza) {
	isRequest := st.Type == "get" || st.Type == "set"
	switch {
	case !st.To.IsBare():
		t.between(st, isRequest)
	case !isRequest:
		// nobody waits for it
	default:
		t.asks(st)
	}
}

// asks answers a request to the room itself.
func (t *turn) asks(st *xmpp.Stanza) {
	var later []func()
	q := request{st: st, payload: st.Payload(), seat: t.seatOf(st.From), aff: t.affOf(st.From), later: &later}
	name := q.payload.Name()
	h := t.s.tables.room[asks{st.Type, name.Space, name.Local}]
	var p xmpp.Payload
	var err error
	switch {
	case !t.exists || t.locked && q.aff < owner:
		err = xmpp.Refuse("item-not-found", "there is no such room") // XEP-0045 §17.2, rule 3
	case h == nil:
		err = xmpp.Refuse("service-unavailable", "")
	default:
		p, err = h(t, q)
	}
	if !errors.Is(err, errLater) {
		t.s.router.Answer(&t.Round, st, p, err)
	}
	for _, fn := range later {
		fn()
	}
}

// affOf returns what somebody is to the room; none where there is none.
func (t *turn) affOf(j xmpp.JID) affiliation {
	if !t.exists {
		return none
	}
	return t.lists.of(j)
}

// beside answers a request with what a function finds that reads the disk: not in a turn of the
// room, which would stand still.
func (s *Service) beside(st *xmpp.Stanza, fn func(context.Context, *router.Round) (xmpp.Payload, error)) error {
	select {
	case s.readers <- struct{}{}:
	default:
		s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too many are reading archives"}
	}
	s.router.Beside(func() {
		defer func() { <-s.readers }()
		var rd router.Round
		p, err := fn(context.Background(), &rd)
		s.router.Answer(&rd, st, p, err)
		rd.Flush()
	})
	return errLater
}

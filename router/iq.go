package router

import (
	"context"
	"errors"

	"parley/storage"
	"parley/xmpp"
)

// handlerKey finds the handler of an IQ request.
type handlerKey struct {
	at          At
	typ         string
	space, name string
}

// A Request is an IQ get or set that the house answers itself.
type Request struct {
	Stanza  *xmpp.Stanza
	Payload xmpp.Element
	Host    string   // the domain it is addressed to
	Account *Account // whose account it is addressed to; nil for the server
	Sender  *Sender  // the asking session, nil if it is none of this house
	Round   *Round   // of the asker's reader

	r      *Router
	after  []func(*Round)
	later  bool
	deputy bool
}

// From returns the asker's address.
func (q *Request) From() xmpp.JID { return q.Stanza.From }

// Own reports whether the asker speaks for the account that it asks.
func (q *Request) Own() bool { return q.Account != nil && q.From().Bare() == q.Account.JID }

// Write runs fn in a transaction and waits for its commit. What the asker's reader has
// pushed so far leaves first.
func (q *Request) Write(ctx context.Context, fn func(*storage.Tx) error) error {
	q.Round.Flush()
	return q.r.store.Write(ctx, fn)
}

// Turn takes a turn of the account asked and waits for it.
func (q *Request) Turn(fn func(*Turn) error) (err error) {
	q.Round.Flush()
	if failed := q.Account.Do(func(t *Turn) { err = fn(t) }); failed != nil {
		return failed
	}
	return err
}

// After has fn called right behind the answer.
func (q *Request) After(fn func(*Round)) { q.after = append(q.after, fn) }

// Later says that the request is answered by calling what it returns: once, by anybody, after
// the handler has returned or before. It is for handlers that must ask a peer first. It never
// waits.
func (q *Request) Later() (answer func(xmpp.Payload, error)) {
	q.later = true
	r, st, s := q.r, q.Stanza, q.Sender
	return func(p xmpp.Payload, err error) {
		var rd Round
		r.answer(&rd, st, p, err, s)
		rd.Flush()
	}
}

// Deputy reports whether who asks is somebody else than the account, to whom the account's own
// requests are allowed (Feature.Deputy).
func (q *Request) Deputy() bool { return q.deputy }

// iq carries an IQ stanza: to a handler, to a connected resource, or back with an error.
// s is the local session that sent it, nil for any other sender.
func (r *Router) iq(ctx context.Context, rd *Round, st *xmpp.Stanza, s *Sender) {
	request := st.Type == "get" || st.Type == "set"
	to := st.To
	if to.IsZero() && s != nil {
		to = s.account.JID // RFC 6120 §10.3.3
	}
	switch {
	case !r.Serves(to.Domain()):
		if err := r.abroad(rd, st); err != nil {
			r.answer(rd, st, nil, err, s)
		}
	case to.Resource() != "" && to.Local() != "":
		r.toResource(ctx, rd, st, s)
	case !request:
		r.answered(st)
	case to.Local() == "" && to.Resource() != "":
		r.answer(rd, st, nil, xmpp.Refuse("service-unavailable", ""), s)
	default:
		r.handle(ctx, rd, st, to, s)
	}
}

// toResource delivers an IQ to a full JID (RFC 6121 §8.5.3). A request reaches only a
// resource that shares its presence with who asks; to all others it is not there
// (§8.5.3.1, §11).
func (r *Router) toResource(ctx context.Context, rd *Round, st *xmpp.Stanza, s *Sender) {
	request := st.Type == "get" || st.Type == "set"
	if a, _ := r.accounts.get(st.To.Bare()); a != nil {
		defer a.pins.Add(-1)
		res, ok := a.Resource(st.To.Resource())
		if ok && (!request || res.Shares(st.From) || r.Trusted(ctx, a, st.From)) && r.MayGet(a, st) == nil {
			if rd.Push(res.Session, st) == nil {
				return
			}
		}
	}
	if request {
		r.answer(rd, st, nil, xmpp.Refuse("service-unavailable", ""), s)
	}
}

// handle answers a request that is for the server or an account.
func (r *Router) handle(ctx context.Context, rd *Round, st *xmpp.Stanza, to xmpp.JID, s *Sender) {
	q := &Request{Stanza: st, Payload: st.Payload(), Host: to.Domain(), Sender: s, Round: rd, r: r}
	h, err := r.instead(ctx, q, to)
	if h == nil && err == nil {
		h, err = r.handler(ctx, q, to)
	}
	if q.Account != nil && (s == nil || q.Account != s.account) {
		defer q.Account.pins.Add(-1)
	}
	var p xmpp.Payload
	switch {
	case err != nil:
	case h == nil:
		err = xmpp.Refuse("service-unavailable", "")
	default:
		p, err = r.call(ctx, h, q)
	}
	if !q.later {
		r.answer(rd, st, p, err, s)
	}
	for _, fn := range q.after {
		fn(rd)
	}
}

// handler finds who answers. For an account that does not exist there is nobody, except
// where the answer must not tell (XEP-0030 §8).
func (r *Router) handler(ctx context.Context, q *Request, to xmpp.JID) (Handler, error) {
	name := q.Payload.Name()
	if to.Local() == "" {
		return r.handlers[handlerKey{ToServer, q.Stanza.Type, name.Space, name.Local}], nil
	}
	if q.Sender != nil && to == q.Sender.account.JID {
		q.Account = q.Sender.account
		if h := r.handlers[handlerKey{ToOwn, q.Stanza.Type, name.Space, name.Local}]; h != nil {
			return h, nil
		}
		return r.handlers[handlerKey{ToAccount, q.Stanza.Type, name.Space, name.Local}], nil
	}
	h := r.handlers[handlerKey{ToAccount, q.Stanza.Type, name.Space, name.Local}]
	if q.deputy = q.Sender == nil && r.deputises(q); q.deputy {
		if own := r.handlers[handlerKey{ToOwn, q.Stanza.Type, name.Space, name.Local}]; own != nil {
			a, err := r.account(ctx, to)
			if q.Account = a; a != nil {
				return own, err
			}
			q.deputy = false
			return h, err
		}
	}
	if h == nil {
		return nil, nil
	}
	a, err := r.account(ctx, to)
	if q.Account = a; a == nil {
		return h, err
	}
	switch refused := r.MayGet(a, q.Stanza); {
	case refused == nil:
		return h, nil
	case refused.Condition != "service-unavailable":
		return nil, refused
	}
	a.pins.Add(-1)
	q.Account = nil // for who asks it is not there: the answer is that for nobody
	return h, nil
}

// call runs a handler; a panic is an internal-server-error and a counter.
func (r *Router) call(ctx context.Context, h Handler, q *Request) (p xmpp.Payload, err error) {
	var panicked *xmpp.Error
	defer func() {
		if panicked != nil {
			p, err = nil, panicked
		}
	}()
	defer r.caught("a handler", &panicked)
	return h(ctx, q)
}

// answer gives the one answer to a request. Results and errors are not answered.
func (r *Router) answer(rd *Round, st *xmpp.Stanza, p xmpp.Payload, err error, s *Sender) {
	var answer *xmpp.Stanza
	if err == nil {
		answer = xmpp.Result(st, p)
	} else {
		e := r.failed(err)
		if e.Cause != nil && !errors.Is(err, context.Canceled) {
			r.log.Warn("a request failed", "payload", st.Payload().Name(), "error", err)
		}
		r.stats.Refused.Add(1)
		if answer = xmpp.Bounce(st, e); answer == nil {
			return
		}
	}
	if s != nil {
		rd.Push(s.session, answer)
		return
	}
	r.Deliver(rd, answer)
}

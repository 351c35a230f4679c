package muc

import (
	"time"

	"parley/xmpp"
)

// askPatience is how long an occupant may take to answer another one.
const askPatience = time.Minute

// between takes an IQ stanza for an occupant (XEP-0045 §17.4, rule 3). A request goes on to it in the
// asker's name in the room; the answer comes back through Router.Ask, which knows whom it
// asked, so neither learns the other's address.
func (t *turn) between(st *xmpp.Stanza, isRequest bool) {
	if !isRequest {
		return // nobody waits for it
	}
	s, o := t.seatOf(st.From), t.byNick[key(st.To.Resource())]
	ping := st.Payload().Is(nsPing, "ping")
	switch {
	case s == nil && (st.Payload().Name().Space == xmpp.NSInfo || st.Payload().Name().Space == nsItems):
		t.refuse(st, wrong("you are not in the room")) // XEP-0045 §6.6
	case s == nil:
		t.refuse(st, &xmpp.Error{Type: "cancel", Condition: "not-acceptable", Text: "you are not in the room"}) // XEP-0410 §3.2
	case o == s.occ && ping:
		t.s.router.Answer(&t.Round, st, nil, nil) // XEP-0410 §4
	case o == nil:
		t.refuse(st, xmpp.Refuse("item-not-found", "there is nobody of that name in the room"))
	default:
		if err := t.mayAsk(s); err != nil {
			t.refuse(st, err)
			return
		}
		t.pose(st, s, o)
	}
}

// mayAsk holds an occupant to the limits: what others are asked costs them.
func (t *turn) mayAsk(s *seat) error {
	if s.occ.chat.spend(1, t.settings().Rate, t.now()) {
		return nil
	}
	t.s.stats.Refused.Add(1)
	return &xmpp.Error{Type: "wait", Condition: "policy-violation", Text: "too many requests at once"}
}

// pose asks an occupant in the name of another one.
func (t *turn) pose(st *xmpp.Stanza, by *seat, o *occupant) {
	to := o.now().jid
	if forAccount(st.Payload()) {
		to = o.real
	}
	svc, v := t.s, t.veil(o, by.occ)
	from := by.occ.jid
	svc.router.Beside(func() { // an account that answers may take a turn of its own
		svc.router.Ask(from, to, st.Type, st.Payload().Payload(), askPatience, func(answer *xmpp.Stanza) {
			back := v.over(answer)
			back.To, back.From, back.ID = st.From, st.To, st.ID
			svc.post(back)
		})
	})
}

// forAccount reports whether a request is answered by somebody's account, not by a client.
func forAccount(p xmpp.Element) bool {
	switch p.Name().Space {
	case "vcard-temp", "urn:ietf:params:xml:ns:vcard-4.0", "http://jabber.org/protocol/pubsub":
		return true
	}
	return false
}

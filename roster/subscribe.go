package roster

// A state is one of the nine of RFC 6121 §A.1, from the side of the user whose roster it
// is. An unknown entity is in the state none.
type state uint8

const (
	none state = iota
	nonePendingOut
	nonePendingIn
	nonePendingOutIn
	to
	toPendingIn
	from
	fromPendingOut
	both
	states = iota
)

// seesContact reports whether the user is subscribed to the contact.
func (s state) seesContact() bool { return s == to || s == toPendingIn || s == both }

// seenByContact reports whether the contact is subscribed to the user.
func (s state) seenByContact() bool { return s == from || s == fromPendingOut || s == both }

// pendingOut reports whether the user waits for the contact's answer.
func (s state) pendingOut() bool {
	return s == nonePendingOut || s == nonePendingOutIn || s == fromPendingOut
}

// pendingIn reports whether the contact waits for the user's answer.
func (s state) pendingIn() bool {
	return s == nonePendingIn || s == nonePendingOutIn || s == toPendingIn
}

// subscription is the attribute of that name (RFC 6121 §2.1.2.5).
func (s state) subscription() string {
	switch {
	case s == both:
		return "both"
	case s.seesContact():
		return "to"
	case s.seenByContact():
		return "from"
	}
	return "none"
}

// ask is the attribute of that name (RFC 6121 §2.1.2.2).
func (s state) ask() string {
	if s.pendingOut() {
		return "subscribe"
	}
	return ""
}

// stateOf reads a state from the attributes of an item and from whether there is a request
// of the contact. What cannot be is taken for the less: a subscriber has no request.
func stateOf(subscription, ask string, requested bool) state {
	for s := none; s < states; s++ {
		if s.subscription() == subscription && s.pendingOut() == (ask != "") && s.pendingIn() == requested {
			return s
		}
	}
	switch {
	case requested:
		return stateOf(subscription, ask, false)
	case ask != "":
		return stateOf(subscription, "", false)
	}
	return none
}

// A verb is the type of a presence stanza about a subscription.
type verb uint8

const (
	subscribe verb = iota
	unsubscribe
	subscribed
	unsubscribed
	verbs = iota
)

func (v verb) String() string {
	return [...]string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"}[v]
}

// verbOf reads the type of a presence stanza.
func verbOf(typ string) (v verb, ok bool) {
	for v := subscribe; v < verbs; v++ {
		if v.String() == typ {
			return v, true
		}
	}
	return 0, false
}

// An act is what becomes of the stanza itself.
type act uint8

const (
	stop    act = iota // neither routed nor delivered
	pass               // routed to the contact, or delivered to the user
	approve            // not routed: the contact is pre-approved (RFC 6121 §3.4.2)
	accept             // not delivered: answered with "subscribed" for the user
	release            // delivered, and answered with "unsubscribed" for the user
)

// A row is what one table of appendix A says for one state.
type row struct {
	act  act
	next state
}

// outbound is RFC 6121 §A.2: what the user's stanza does, and where it leads.
var outbound = [verbs][states]row{
	subscribe: { // Table 2 (§A.2.1)
		none:             {pass, nonePendingOut},
		nonePendingOut:   {pass, nonePendingOut},
		nonePendingIn:    {pass, nonePendingOutIn},
		nonePendingOutIn: {pass, nonePendingOutIn},
		to:               {pass, to},
		toPendingIn:      {pass, toPendingIn},
		from:             {pass, fromPendingOut},
		fromPendingOut:   {pass, fromPendingOut},
		both:             {pass, both},
	},
	unsubscribe: { // Table 3 (§A.2.2)
		none:             {pass, none},
		nonePendingOut:   {pass, none},
		nonePendingIn:    {pass, nonePendingIn},
		nonePendingOutIn: {pass, nonePendingIn},
		to:               {pass, none},
		toPendingIn:      {pass, nonePendingIn},
		from:             {pass, from},
		fromPendingOut:   {pass, from},
		both:             {pass, from},
	},
	subscribed: { // Table 4 (§A.2.3)
		none:             {approve, none},
		nonePendingOut:   {approve, nonePendingOut},
		nonePendingIn:    {pass, from},
		nonePendingOutIn: {pass, fromPendingOut},
		to:               {approve, to},
		toPendingIn:      {pass, both},
		from:             {stop, from},
		fromPendingOut:   {stop, fromPendingOut},
		both:             {stop, both},
	},
	unsubscribed: { // Table 5 (§A.2.4); it ends a pre-approval in any state
		none:             {stop, none},
		nonePendingOut:   {stop, nonePendingOut},
		nonePendingIn:    {pass, none},
		nonePendingOutIn: {pass, nonePendingOut},
		to:               {stop, to},
		toPendingIn:      {pass, to},
		from:             {pass, none},
		fromPendingOut:   {pass, nonePendingOut},
		both:             {pass, to},
	},
}

// inbound is RFC 6121 §A.3: what the contact's stanza does, and where it leads.
var inbound = [verbs][states]row{
	subscribe: { // Table 6 (§A.3.1); see also inboundApproved
		none:             {pass, nonePendingIn},
		nonePendingOut:   {pass, nonePendingOutIn},
		nonePendingIn:    {stop, nonePendingIn},
		nonePendingOutIn: {stop, nonePendingOutIn},
		to:               {pass, toPendingIn},
		toPendingIn:      {stop, toPendingIn},
		from:             {accept, from},
		fromPendingOut:   {accept, fromPendingOut},
		both:             {accept, both},
	},
	unsubscribe: { // Table 7 (§A.3.2)
		none:             {stop, none},
		nonePendingOut:   {stop, nonePendingOut},
		nonePendingIn:    {release, none},
		nonePendingOutIn: {release, nonePendingOut},
		to:               {stop, to},
		toPendingIn:      {release, to},
		from:             {release, none},
		fromPendingOut:   {release, nonePendingOut},
		both:             {release, to},
	},
	subscribed: { // Table 8 (§A.3.3)
		none:             {stop, none},
		nonePendingOut:   {pass, to},
		nonePendingIn:    {stop, nonePendingIn},
		nonePendingOutIn: {pass, toPendingIn},
		to:               {stop, to},
		toPendingIn:      {stop, toPendingIn},
		from:             {stop, from},
		fromPendingOut:   {pass, both},
		both:             {stop, both},
	},
	unsubscribed: { // Table 9 (§A.3.4)
		none:             {stop, none},
		nonePendingOut:   {pass, none},
		nonePendingIn:    {stop, nonePendingIn},
		nonePendingOutIn: {pass, nonePendingIn},
		to:               {pass, none},
		toPendingIn:      {pass, nonePendingIn},
		from:             {stop, from},
		fromPendingOut:   {pass, from},
		both:             {pass, from},
	},
}

// inboundApproved is what a "subscribe" does where the user has pre-approved the contact:
// the request is not shown but granted (RFC 6121 §3.4.2, note 1 of Table 6).
var inboundApproved = [states]row{
	none:             {accept, from},
	nonePendingOut:   {accept, fromPendingOut},
	nonePendingIn:    {accept, from},
	nonePendingOutIn: {accept, fromPendingOut},
	to:               {accept, both},
	toPendingIn:      {accept, both},
	from:             {accept, from},
	fromPendingOut:   {accept, fromPendingOut},
	both:             {accept, both},
}

package xmpp

import "time"

// Delay returns the stamp of something that was sent at that time and was held up by from
// (XEP-0203 §2), in UTC and with milliseconds.
func Delay(from JID, at time.Time) Payload {
	var b Builder
	b.Open(NSDelay, "delay", "from", from.String(), "stamp", at.UTC().Format("2006-01-02T15:04:05.000Z"))
	return b.Payload()
}

// WithoutDelay returns the stanza without those stamps of XEP-0203 for which drop says so.
// from is zero where a stamp does not say, or does not say well, who held the stanza up.
func (st *Stanza) WithoutDelay(drop func(from JID) bool) *Stanza {
	if !st.Has(NSDelay, "delay") {
		return st
	}
	return st.Without(func(e Element) bool {
		if !e.Is(NSDelay, "delay") {
			return false
		}
		from, _ := ParseJID(e.Attr("from"))
		return drop(from)
	})
}

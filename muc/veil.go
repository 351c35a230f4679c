package muc

import (
	"bytes"

	"parley/xmpp"
)

// A veil takes an occupant's own addresses out of what comes back from it, or from its server, to
// somebody who may not know them (XEP-0045 §14.5): a server names the user in errors ('by'), a
// client in a list of its commands, an account as the publisher of an item. What people write of
// themselves is theirs. The zero veil is for who may know: it takes away only what nobody needs.
type veil struct {
	real [][]byte // the addresses as they are written, longer ones first
	name []byte   // what stands in their place
}

// veil returns one for what an occupant answers, and by hears.
func (t *turn) veil(o, by *occupant) (v veil) {
	if t.knows(by) || o.real == by.real {
		return v
	}
	for _, s := range o.seats {
		v.real = append(v.real, xmpp.AppendEscaped(nil, s.jid.String()))
	}
	v.real = append(v.real, xmpp.AppendEscaped(nil, o.real.String()))
	v.name = xmpp.AppendEscaped(nil, o.jid.String())
	return v
}

// over returns an answer as the other one may see it. Of an error it says what and not where.
func (v veil) over(st *xmpp.Stanza) *xmpp.Stanza {
	if v.real == nil {
		return scrubbed(st)
	}
	body := xmpp.Payload(st.Body())
	if e := xmpp.ErrorOf(st); e != nil && st.Type == "error" {
		body = (&xmpp.Error{Type: e.Type, Condition: e.Condition, App: e.App}).Payload()
	}
	for _, real := range v.real {
		body = replaced(body, real, v.name)
	}
	out := xmpp.NewStanza(st.Kind, body)
	out.ID, out.Type, out.Lang = st.ID, st.Type, st.Lang
	return out
}

// replaced puts name where an address stands that is not part of another one.
func replaced(text, real, name []byte) (out []byte) {
	for {
		i := bytes.Index(text, real)
		if i < 0 {
			return append(out, text...)
		}
		end := i + len(real)
		if i > 0 && inAddress(text[i-1]) || end < len(text) && inAddress(text[end]) {
			out, text = append(out, text[:i+1]...), text[i+1:]
			continue
		}
		out = append(append(out, text[:i]...), name...)
		text = text[end:]
	}
}

// inAddress reports whether a byte may go on with an address.
func inAddress(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || c == '.' || c == '-' || c == '_' || c == '+' || c == '@'
}

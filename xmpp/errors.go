package xmpp

import "fmt"

// An Error is a stanza error (RFC 6120 §8.3). The peer may read Type, Condition, Text
// and App; Cause is for the log alone.
type Error struct {
	Type      string // auth, cancel, continue, modify or wait (RFC 6120 §8.3.2)
	Condition string // a defined condition (RFC 6120 §8.3.3)
	Text      string
	Detail    string  // character data of gone and redirect: an address (RFC 6120 §8.3.3.5)
	App       Payload // an application-specific condition (RFC 6120 §8.3.4)
	Echo      Payload // of the request, before <error/> (RFC 6120 §8.3.1); usually nothing
	Code      string  // what stood for the condition once (XEP-0086), for clients that look at nothing else; usually ""
	Cause     error
}

func (e *Error) Error() string {
	s := e.Condition
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// stanzaErrors are the defined conditions with the type each is usually given
// (RFC 6120 §8.3.3).
var stanzaErrors = map[string]string{
	"bad-request":             "modify",
	"conflict":                "cancel",
	"feature-not-implemented": "cancel",
	"forbidden":               "auth",
	"gone":                    "cancel",
	"internal-server-error":   "cancel",
	"item-not-found":          "cancel",
	"jid-malformed":           "modify",
	"not-acceptable":          "modify",
	"not-allowed":             "cancel",
	"not-authorized":          "auth",
	"policy-violation":        "modify",
	"recipient-unavailable":   "wait",
	"redirect":                "modify",
	"registration-required":   "auth",
	"remote-server-not-found": "cancel",
	"remote-server-timeout":   "wait",
	"resource-constraint":     "wait",
	"service-unavailable":     "cancel",
	"subscription-required":   "auth",
	"undefined-condition":     "cancel",
	"unexpected-request":      "wait",
}

// Refuse returns a stanza error of the condition's usual type. text may be empty.
func Refuse(condition, text string) *Error {
	typ, ok := stanzaErrors[condition]
	if !ok {
		panic("xmpp: no such stanza error condition: " + condition)
	}
	return &Error{Type: typ, Condition: condition, Text: text}
}

// Failure is Refuse for what went wrong on our side: internal-server-error, type wait
// (the request was in order), with the cause for the log.
func Failure(cause error) *Error {
	return &Error{Type: "wait", Condition: "internal-server-error", Cause: cause}
}

// Payload returns the <error/> element.
func (e *Error) Payload() Payload {
	var b Builder
	b.Open("", "error", "type", e.Type, "code", e.Code)
	b.Leaf(NSStanzas, e.Condition, e.Detail)
	if e.Text != "" {
		b.Leaf(NSStanzas, "text", Clean(e.Text), "xml:lang", "en")
	}
	b.Raw(e.App)
	return b.Close().Payload()
}

// ErrorOf reads the error that a stanza of type "error" carries (RFC 6120 §8.3), or nil.
func ErrorOf(st *Stanza) *Error {
	el := st.Child("", "error")
	if el.IsZero() {
		return nil
	}
	e := &Error{Type: el.Attr("type"), Condition: "undefined-condition"}
	el.Children(func(c Element) bool {
		switch {
		case c.Is(NSStanzas, "text"):
			e.Text = c.Text()
		case c.Name().Space == NSStanzas:
			e.Condition, e.Detail = c.Name().Local, c.Text()
		default:
			e.App = append(e.App, c.Payload()...)
		}
		return true
	})
	return e
}

// Bounce returns the error answer to st, or nil where there must be none: errors and
// results are never answered with errors (RFC 6120 §8.3.1). The payload is not echoed,
// except for e.Echo.
func Bounce(st *Stanza, e *Error) *Stanza {
	if st.Kind == Nonza || st.Type == "error" || st.Kind == IQ && st.Type != "get" && st.Type != "set" {
		return nil
	}
	r := NewStanza(st.Kind, append(e.Echo[:len(e.Echo):len(e.Echo)], e.Payload()...))
	r.To, r.From, r.ID, r.Type = st.From, st.To, st.ID, "error"
	return r
}

// Result returns the answer to an IQ get or set (RFC 6120 §8.2.3).
func Result(st *Stanza, p Payload) *Stanza {
	r := NewStanza(IQ, p)
	r.To, r.From, r.ID, r.Type = st.From, st.To, st.ID, "result"
	return r
}

// A StreamError ends a stream (RFC 6120 §4.9).
type StreamError struct {
	Condition string // a defined condition (RFC 6120 §4.9.3)
	Text      string
	Detail    string // character data of see-other-host (RFC 6120 §4.9.3.19)
	App       Payload
	Cause     error
}

func (e *StreamError) Error() string {
	s := "stream error " + e.Condition
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *StreamError) Unwrap() error { return e.Cause }

// streamErrors are the defined conditions (RFC 6120 §4.9.3).
var streamErrors = map[string]bool{
	"bad-format": true, "bad-namespace-prefix": true, "conflict": true, "connection-timeout": true,
	"host-gone": true, "host-unknown": true, "improper-addressing": true, "internal-server-error": true,
	"invalid-from": true, "invalid-namespace": true, "invalid-xml": true, "not-authorized": true,
	"not-well-formed": true, "policy-violation": true, "remote-connection-failed": true, "reset": true,
	"resource-constraint": true, "restricted-xml": true, "see-other-host": true, "system-shutdown": true,
	"undefined-condition": true, "unsupported-encoding": true, "unsupported-feature": true,
	"unsupported-stanza-type": true, "unsupported-version": true,
}

// EndStream returns a stream error. text may be empty and may have verbs for args.
func EndStream(condition, text string, args ...any) *StreamError {
	if !streamErrors[condition] {
		panic("xmpp: no such stream error condition: " + condition)
	}
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	return &StreamError{Condition: condition, Text: text}
}

// Append writes <stream:error/>. The prefix stream must be declared around it, unless
// declare asks for a declaration on the spot (RFC 7395 §3.3.3).
func (e *StreamError) Append(dst []byte, declare bool) []byte {
	dst = append(dst, "<stream:error"...)
	if declare {
		dst = appendAttr(dst, "xmlns:stream", NSStream)
	}
	var b Builder
	b.Leaf(NSStreams, e.Condition, e.Detail)
	if e.Text != "" {
		b.Leaf(NSStreams, "text", Clean(e.Text), "xml:lang", "en")
	}
	b.Raw(e.App)
	dst = append(dst, '>')
	dst = append(dst, b.Payload()...)
	return append(dst, "</stream:error>"...)
}

package xmpp

import (
	"errors"
	"testing"
)

func TestErrorsAreReadAsWritten(t *testing.T) {
	app := (&Builder{}).Leaf("urn:app", "too-many", "").Payload()
	for _, e := range []*Error{
		Refuse("item-not-found", "no <such> room"), Refuse("forbidden", ""),
		{Type: "cancel", Condition: "gone", Detail: "xmpp:a@b", App: app},
	} {
		st := parse(t, NewStanza(IQ, e.Payload()).String())
		st.Type = "error"
		got := ErrorOf(st)
		if got == nil || got.Type != e.Type || got.Condition != e.Condition || got.Text != e.Text || got.Detail != e.Detail || string(got.App) != string(e.App) {
			t.Errorf("%+v\n%+v", got, e)
		}
	}
	if e := ErrorOf(parse(t, "<message type='error'/>")); e != nil {
		t.Error(e)
	}
	if e := ErrorOf(parse(t, "<message type='error'><error xmlns=''/></message>")); e != nil {
		t.Error("an error of no namespace", e)
	}
	if e := ErrorOf(parse(t, "<message type='error'><error type='wait'/></message>")); e == nil || e.Condition != "undefined-condition" {
		t.Error(e)
	}
}

func TestFailure(t *testing.T) {
	cause := errors.New("disk")
	e := Failure(cause)
	if !errors.Is(e, cause) || e.Error() != "internal-server-error: disk" || e.Type != "wait" {
		t.Error(e)
	}
	if s := string(e.Payload()); s != `<error type='wait'><internal-server-error xmlns='`+NSStanzas+`'/></error>` {
		t.Error("the cause is for the log alone:", s)
	}
}

// RFC 6120 §8.3.1: errors and results are never answered with errors.
func TestBounce(t *testing.T) {
	for in, want := range map[string]bool{
		"<message from='a@b'/>": true, "<presence/>": true, "<iq type='get'/>": true, "<iq type='set'/>": true,
		"<iq type='result'/>": false, "<iq type='error'/>": false, "<message type='error'/>": false, "<iq/>": false, "<r xmlns='urn:xmpp:sm:3'/>": false,
	} {
		if got := Bounce(parse(t, in), Refuse("forbidden", "")); (got != nil) != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	st := parse(t, "<iq type='get' id='1' to='a@b' from='c@d'><x xmlns='u'/></iq>")
	b, r := Bounce(st, Refuse("forbidden", "")), Result(st, nil)
	if b.To != st.From || b.From != st.To || b.ID != "1" || b.Type != "error" || b.Has("u", "x") || !b.Has("", "error") || !b.Payload().IsZero() {
		t.Error(b)
	}
	if r.String() != "<iq to='c@d' from='a@b' id='1' type='result'/>" {
		t.Error(r)
	}
}

func TestStreamErrors(t *testing.T) {
	e := EndStream("policy-violation", "more than %d", 5)
	if e.Error() != "stream error policy-violation: more than 5" {
		t.Error(e)
	}
	want := `<stream:error xmlns:stream='` + NSStream + `'><policy-violation xmlns='` + NSStreams + `'/><text xmlns='` + NSStreams + `' xml:lang='en'>more than 5</text></stream:error>`
	if got := string(e.Append(nil, true)); got != want {
		t.Error(got)
	}
	st := scanOne(t, string(e.Append(nil, false)))
	if st.Name != (Name{NSStream, "error"}) || !st.Has(NSStreams, "policy-violation") {
		t.Error(st)
	}
	for _, f := range []func(){func() { EndStream("no-such", "") }, func() { Refuse("no-such", "") }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a condition that does not exist")
				}
			}()
			f()
		}()
	}
}

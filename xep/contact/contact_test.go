package contact

import (
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A domain whose operator has said nothing can be written to where convention has it.
func TestConvention(t *testing.T) {
	var none atomic.Pointer[Addresses]
	f := New(&none)
	if f.Forms("example.org") != nil {
		t.Error("there are addresses before there is a configuration")
	}
	none.Store(&Addresses{})
	forms := f.Forms("bücher.example")
	if len(forms) != 1 {
		t.Fatalf("forms: %v", forms)
	}
	got := map[string][]string{}
	for _, field := range forms[0].Fields[1:] {
		got[field.Var] = field.Values
	}
	want := map[string][]string{
		"abuse-addresses": {"mailto:abuse@xn--bcher-kva.example"}, "admin-addresses": {"mailto:xmpp@xn--bcher-kva.example"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	own := Addresses{"admin": {"xmpp:juliet@example.org"}}
	if d := cmp.Diff(own, own.For("example.org")); d != "" {
		t.Error("what the operator says is not all: ", d)
	}
}

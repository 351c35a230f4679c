package router_test

import (
	"reflect"
	"slices"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestInline binds with features that answer, that say nothing and that panic: each is asked
// once, for what the client names alone, and the session is there in any case.
func TestInline(t *testing.T) {
	var asked []string
	in := func(name string, answer xmpp.Payload) router.Inline {
		return router.Inline{Feature: "f:" + name, Space: "test", Name: name, Enable: func(_ *router.Turn, s *router.Sender, e xmpp.Element) xmpp.Payload {
			if !slices.ContainsFunc(s.Account().Resources(), func(r router.Resource) bool { return r.Sender() == s }) {
				t.Error("the session is not there yet")
			}
			asked = append(asked, name+e.Attr("n"))
			if name == "panic" {
				panic("as it was told")
			}
			return answer
		}}
	}
	h := routertest.New(t,
		router.Feature{Name: "one", Inline: []router.Inline{in("answer", xmpp.Payload("<answered xmlns='test'/>")), in("unasked", nil)}},
		router.Feature{Name: "two", Inline: []router.Inline{in("silent", nil), in("panic", nil)}})
	if got := h.Router.Inline(); !reflect.DeepEqual(got, []string{"f:answer", "f:unasked", "f:silent", "f:panic"}) {
		t.Errorf("announced: %q", got)
	}
	h.Exists(jid(t, "juliet@example.com"))
	bind := func(resource, xml string) (*router.Sender, string) {
		st, err := xmpp.ParseStanza("<iq>" + xml + "</iq>")
		if err != nil {
			t.Fatal(err)
		}
		s, bound, err := h.Router.BindWith(jid(t, "juliet@example.com"), 0, h.Router.Forgets()+1, resource, st.Payload(), func(xmpp.JID) router.Session {
			return &routertest.Session{}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Leave("") })
		return s, string(bound)
	}
	if _, bound := bind("a", `<bind xmlns='urn:xmpp:bind:0'><tag>x</tag><silent xmlns='test' n='1'/><answer xmlns='test' n='2'/><answer xmlns='test' n='3'/><unasked xmlns='else'/></bind>`); bound != "<answered xmlns='test'/>" {
		t.Errorf("bound with %q", bound)
	}
	if s, bound := bind("b", `<bind xmlns='urn:xmpp:bind:0'><panic xmlns='test'/></bind>`); bound != "" || s.JID().Resource() != "b" {
		t.Errorf("bound %s with %q", s.JID(), bound)
	}
	if !reflect.DeepEqual(asked, []string{"answer2", "silent1", "panic"}) {
		t.Errorf("asked: %q", asked)
	}
	if n := h.Router.Stats().Panics.Load(); n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

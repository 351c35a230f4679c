package main

import (
	"fmt"
	"strings"
	"testing"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestStrangersLearnNothing asks every question that any feature answers, and one that none
// does, of accounts that are there, away, hidden, blocking the asker, and of nobody: the
// answers are the same, byte for byte, and nobody hears that they were asked. A new feature
// is asked with the rest (XEP-0030 §8, RFC 6121 §8.5.3.1, RFC 6120 §13.11).
func TestStrangersLearnNothing(t *testing.T) {
	boss := &house{}
	dir := &routertest.Directory{}
	boss.live.groups = roster.NewGroups(dir)
	boss.settle(defaults())
	boss.features = features(boss)
	h := routertest.NewWith(t, routertest.Config{Dir: dir, Features: boss.features})
	boss.router, boss.store = h.Router, h.Store
	stranger := h.Online("stranger@example.com/x")
	there := h.Online("aaaa@example.com/home")
	hidden := h.Connected("bbbb@example.com/home")
	blocks := h.Online("cccc@example.com/home")
	blocks.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='stranger@example.com'/></block></iq>")
	was := h.Online("dddd@example.com/home")
	was.Sends("<presence type='unavailable'><status>gone</status></presence>")
	was.Leaves()
	h.Exists(xmpp.MustJID("eeee@example.com"))
	for _, a := range []*routertest.Actor{stranger, there, hidden, blocks} {
		a.Forgets()
	}
	questions := questionsTo(h.Router.Features())
	for _, q := range questions {
		for _, resource := range []string{"", "/home", "/none"} {
			want := answersTo(stranger, q, "zzzz", resource)
			if n := strings.Count(want, "\n"); n != 1 {
				t.Errorf("%s to nobody has %d answers", q, n)
			}
			for _, name := range []string{"aaaa", "bbbb", "cccc", "dddd", "eeee"} {
				if got := answersTo(stranger, q, name, resource); got != want {
					t.Errorf("%s to %s%s is answered\n%sthat to nobody\n%s", q, name, resource, got, want)
				}
			}
		}
	}
	for _, a := range []*routertest.Actor{there, hidden, blocks} {
		a.GetsNothing()
	}
	if n := h.Router.Stats().Panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
	if len(questions) < 60 {
		t.Errorf("only %d questions", len(questions))
	}
}

// questionsTo returns every request that a feature answers, wherever it does so, in several
// forms: of both types, empty, with a node, and with content.
func questionsTo(list []router.Feature) (all []string) {
	seen := map[xmpp.Name]bool{}
	names := []xmpp.Name{{Space: "test:nothing", Local: "query"}}
	for _, f := range list {
		for _, q := range f.IQ {
			names = append(names, xmpp.Name{Space: q.Space, Local: q.Name})
		}
	}
	for _, n := range names {
		if seen[n] {
			continue
		}
		seen[n] = true
		for _, typ := range []string{"get", "set"} {
			all = append(all,
				fmt.Sprintf("<iq type='%s' id='1' to='%%'><%s xmlns='%s'/></iq>", typ, n.Local, n.Space),
				fmt.Sprintf("<iq type='%s' id='1' to='%%'><%s xmlns='%s' node='x'><item jid='a@example.com' node='y'/></%[2]s></iq>", typ, n.Local, n.Space))
		}
	}
	return all
}

// answersTo returns all that comes of a question to somebody, without the name.
func answersTo(a *routertest.Actor, ask, name, resource string) string {
	a.Sends(strings.ReplaceAll(ask, "%", name+"@example.com"+resource))
	var all strings.Builder
	for st := a.Hears(); st != nil; st = a.Hears() {
		all.WriteString(strings.ReplaceAll(st.String(), name, "zzzz") + "\n")
	}
	return all.String()
}

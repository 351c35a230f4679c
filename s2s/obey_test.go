package s2s

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/router/routertest"
)

// TestRulesChange has streams end when the rules do not allow them any more, whoever has opened
// them, and come back when they do again.
func TestRulesChange(t *testing.T) {
	for name, stricter := range map[string]PolicyConfig{
		"denied":      {Dialback: true, Deny: []string{"b.example"}},
		"certificate": {Dialback: true, Domains: map[string]DomainPolicy{"b.example": {RequireCertificate: new(true)}}},
	} {
		for _, bidi := range []bool{false, true} {
			for _, first := range []string{"ours", "theirs"} {
				t.Run(fmt.Sprintf("%s bidi=%v %s", name, bidi, first), func(t *testing.T) {
					a, b := two(t, func(p *plan) { p.set.Bidi = bidi }, false)
					ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
					if first == "ours" {
						ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
						wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
					}
					bob.Says("<message to='ann@a.example' type='chat' id='2'><body>Hi</body></message>")
					wants(t, ann, "<message from='bob@b.example/2' to='ann@a.example' type='chat' id='2'><body>Hi</body></message>")
					setPolicy(t, a, stricter)
					routertest.Eventually(t, "nobody carries anything", func() bool {
						return !slices.ContainsFunc(a.Links(), func(l LinkInfo) bool { return len(l.Receives)+len(l.Sends) > 0 })
					})
					if !a.log.has("the rules have changed") {
						t.Errorf("the log says nothing:\n%s", a.log)
					}
					ann.Says("<message to='bob@b.example' type='chat' id='3'><body>Hello</body></message>")
					var told string
					routertest.Eventually(t, "an error", func() bool {
						if st := ann.Hears(); st != nil {
							told = st.String()
						}
						return strings.Contains(told, "type='error'")
					})
					if !strings.Contains(told, "id='3'") || !strings.Contains(told, "this server does not talk to b.example") && !strings.Contains(told, "is not accepted") {
						t.Errorf("the sender is told %s", told)
					}
					if name == "denied" && !strings.Contains(told, "<not-allowed ") {
						t.Errorf("the sender may try again: %s", told)
					}
					setPolicy(t, a, PolicyConfig{Dialback: true})
					a.CloseDomain("b.example")
					ann.Says("<message to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
					wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
				})
			}
		}
	}
}

// TestRulesOfOthersChange wants streams to stay that a change of rules is not about.
func TestRulesOfOthersChange(t *testing.T) {
	a, b := two(t, nil, false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says("<message to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='1'><body>Hello</body></message>")
	was := a.Links()
	setPolicy(t, a, PolicyConfig{Dialback: true, Deny: []string{"c.example"}})
	ann.Says("<message to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='2'><body>Hello</body></message>")
	if now := a.Links(); now[0].ID != was[0].ID || a.log.has("the rules have changed") {
		t.Errorf("%+v became %+v", was, now)
	}
}

func setPolicy(t *testing.T, h *house, c PolicyConfig) {
	t.Helper()
	p, err := NewPolicy(c)
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicy(p)
}

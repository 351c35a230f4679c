package roster

import (
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
)

// TestLimits: those of the configuration hold, and are asked each time.
func TestLimits(t *testing.T) {
	limits := Limits{Items: 2, Groups: 1, Name: 5}
	h := routertest.NewWith(t, routertest.Config{Features: []router.Feature{NewWith(Config{Limits: func() Limits { return limits }})}})
	r := h.Connected(romeo + "/a")
	refused := func(item, condition string) {
		t.Helper()
		r.Sends(itemSet(item))
		if st := r.Hears(); st.Type != "error" || !strings.Contains(st.String(), "<"+condition) {
			t.Errorf("%s: %s", item, st)
		}
	}
	refused("<item jid='a@example.com' name='sixsix'/>", "not-acceptable")
	refused("<item jid='a@example.com'><group>sixsix</group></item>", "not-acceptable")
	refused("<item jid='a@example.com'><group>a</group><group>b</group></item>", "not-acceptable")
	r.Does(itemSet("<item jid='a@example.com' name='éééée'/>"))
	r.Does(itemSet("<item jid='b@example.com'/>"))
	refused("<item jid='c@example.com'/>", "resource-constraint")
	limits.Items = 1
	r.Does(itemSet("<item jid='a@example.com' name='b'/>")) // who has more keeps it
	limits.Items = 3
	r.Does(itemSet("<item jid='c@example.com'/>"))
}

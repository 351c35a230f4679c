package extdisco_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/extdisco"
	"parley/xmpp"
)

const ns = "urn:xmpp:extdisco:2"

func open(t *testing.T, list *[]extdisco.Service, now *time.Time) *routertest.House {
	return routertest.New(t, extdisco.New(extdisco.Config{
		Services: func(host string) []extdisco.Service {
			if host != "example.com" {
				return nil
			}
			return *list
		},
		Now: func() time.Time { return *now },
	}))
}

// TestPasswordsOfTheREST: a TURN server that knows the secret finds the password right, and until
// when.
func TestPasswordsOfTheREST(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	list := []extdisco.Service{{Type: "turn", Host: "turn.example.com", Port: 3478, Transport: "udp", Secret: "north", Lifetime: time.Hour}}
	h := open(t, &list, &now)
	ask := func(who string) (user, password string) {
		a := h.Connected(who)
		a.Sends(`<iq type='get' id='1' to='example.com'><credentials xmlns='` + ns + `'><service host='turn.example.com' type='turn'/></credentials></iq>`)
		s := a.Gets(`<iq type='result' id='1'><credentials xmlns='`+ns+`'><service expires='2026-01-02T04:05:00Z' host='turn.example.com' password='*' port='3478' restricted='true' transport='udp' type='turn' username='*'/></credentials></iq>`).Payload().Child(ns, "service")
		return s.Attr("username"), s.Attr("password")
	}
	user, password := ask("romeo@example.com/a")
	m := hmac.New(sha1.New, []byte("north"))
	m.Write([]byte(user))
	if want := base64.StdEncoding.EncodeToString(m.Sum(nil)); password != want {
		t.Errorf("the password is %s, and not %s", password, want)
	}
	until, name, _ := strings.Cut(user, ":")
	if at, _ := strconv.ParseInt(until, 10, 64); time.Unix(at, 0).UTC() != time.Date(2026, 1, 2, 4, 5, 0, 0, time.UTC) || name == "" || strings.Contains(name, "romeo") {
		t.Errorf("the name is %s", user)
	}
	if again, _ := ask("romeo@example.com/b"); again != user {
		t.Errorf("another device is called %s, and not %s", again, user)
	}
	if other, _ := ask("juliet@example.com/b"); other == user {
		t.Error("two users have one name")
	}
	list[0].Secret = "south"
	if other, pw := ask("romeo@example.com/c"); other == user || pw == password {
		t.Error("the secret does not count")
	}
}

// TestWhoMayAsk: users of this server alone are told, and where nothing is configured there is
// nothing (XEP-0215 §2, §5).
func TestWhoMayAsk(t *testing.T) {
	now := time.Now()
	var list []extdisco.Service
	h := open(t, &list, &now)
	a, component := h.Connected("romeo@example.com/a"), h.Service("irc.example.org")
	request := `<iq type='get' id='1' to='example.com'><services xmlns='` + ns + `'/></iq>`
	info := `<iq type='get' id='2' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`
	announced := func() bool {
		a.Sends(info)
		return strings.Contains(a.Gets(`<iq type='result' id='2'>…</iq>`).String(), ns)
	}
	a.Sends(request)
	a.Gets(`<iq type='error' id='1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	if announced() {
		t.Error("nothing is announced as something")
	}
	list = []extdisco.Service{{Type: "stun", Host: "192.0.2.1", Port: 3478, Transport: "udp"}, {Type: "turns", Host: "turn.example.com", Username: "all", Password: "of <us>"}}
	h.Router.Nested()
	if !announced() {
		t.Error("it is not announced")
	}
	a.Sends(request)
	a.Gets(`<iq type='result' id='1'><services xmlns='` + ns + `'><service host='192.0.2.1' port='3478' transport='udp' type='stun'/><service host='turn.example.com' password='of &lt;us>' restricted='true' type='turns' username='all'/></services></iq>`)
	for _, from := range []string{"nick@irc.example.org/x", "irc.example.org"} {
		component.Sends(`<iq from='` + from + `' type='get' id='1' to='example.com'><services xmlns='` + ns + `'/></iq>`)
		component.Gets(`<iq type='error' id='1'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
		component.Sends(`<iq from='` + from + `' type='get' id='1' to='example.com'><credentials xmlns='` + ns + `'><service host='turn.example.com' type='turns'/></credentials></iq>`)
		component.Gets(`<iq type='error' id='1'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	}
	other := h.Connected("benvolio@example.net/x") // of another domain of this server
	other.Sends(request)
	other.Gets(`<iq type='result' id='1'>…</iq>`)
	for inner, condition := range map[string]string{
		``: "bad-request", `<service host='turn.example.com'/>`: "bad-request", `<service type='turns'/>`: "bad-request",
		`<service host='turn.example.com' type='turn'/>`: "item-not-found", `<service host='turn.example.com' type='turns' port='1'/>`: "item-not-found",
		`<service host='192.0.2.1' type='stun'/>`: "item-not-found", `<service host='turn.example.org' type='turns'/>`: "item-not-found",
	} {
		a.Sends(`<iq type='get' id='1' to='example.com'><credentials xmlns='` + ns + `'>` + inner + `</credentials></iq>`)
		if e := xmpp.ErrorOf(a.Hears()); e == nil || e.Condition != condition {
			t.Errorf("%s: %v", inner, e)
		}
	}
}

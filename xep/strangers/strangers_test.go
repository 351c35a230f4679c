package strangers_test

import (
	"fmt"
	"testing"
	"time"

	"parley/roster"
	"parley/router/routertest"
	"parley/xep/strangers"
)

const refused = `<message type='error' id='%s'>…<error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></message>`

func message(to, id string) string {
	return fmt.Sprintf(`<message to='%s' type='chat' id='%s'><body>x</body></message>`, to, id)
}

// TestMessages: strangers are written to within a budget, which comes back; contacts, and
// who has answered, without one. Nobody is told apart from somebody.
func TestMessages(t *testing.T) {
	now := time.Now()
	lim := strangers.Limits{Messages: 6}
	h := routertest.New(t, roster.New(), strangers.New(func() strangers.Limits { return lim }, func() time.Time { return now }))
	romeo, juliet, nurse := h.Online("romeo@example.com/x"), h.Online("juliet@example.com/x"), h.Online("nurse@example.com/x")
	for i := range 6 {
		romeo.Sends(message("juliet@example.com", fmt.Sprint(i)))
		juliet.Gets(message("juliet@example.com", fmt.Sprint(i)))
	}
	romeo.Sends(message("juliet@example.com", "more"))
	romeo.Gets(fmt.Sprintf(refused, "more"))
	romeo.Sends(message("nobody@example.com", "nobody"))
	romeo.Gets(fmt.Sprintf(refused, "nobody"))
	nurse.Sends(message("romeo@example.com", "n")) // whose budget is her own
	romeo.Gets(message("romeo@example.com", "n"))
	for range 20 { // she has written to him
		romeo.Sends(message("nurse@example.com", "answer"))
		nurse.Gets(message("nurse@example.com", "answer"))
	}
	juliet.Sends(`<message to='romeo@example.com' id='r'><received xmlns='urn:xmpp:receipts' id='0'/></message>`) // her client says so
	romeo.Gets(`<message id='r'><received xmlns='urn:xmpp:receipts' id='0'/></message>`)
	romeo.Sends(message("juliet@example.com", "again"))
	romeo.Gets(fmt.Sprintf(refused, "again"))
	now = now.Add(20 * time.Second)
	for range 2 {
		romeo.Sends(message("juliet@example.com", "later"))
		juliet.Gets(message("juliet@example.com", "later"))
	}
	romeo.Sends(message("juliet@example.com", "more"))
	romeo.Gets(fmt.Sprintf(refused, "more"))
	juliet.Sends(`<presence type='subscribed' to='romeo@example.com'/>`) // not asked for: she may approve in advance
	romeo.Sends(`<presence type='subscribe' to='juliet@example.com'/>`)
	romeo.Forgets()
	juliet.Forgets()
	for range 20 {
		romeo.Sends(message("juliet@example.com", "contact"))
		juliet.Gets(message("juliet@example.com", "contact"))
	}
	lim.Messages = 0
	romeo.Sends(message("nobody@example.com", "nobody"))
	romeo.Gets(`<message type='error' id='nobody'>…<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`)
}

// TestRequests: so are requests for a subscription.
func TestRequests(t *testing.T) {
	now := time.Now()
	h := routertest.New(t, roster.New(), strangers.New(func() strangers.Limits { return strangers.Limits{Requests: 5} }, func() time.Time { return now }))
	romeo := h.Online("romeo@example.com/x")
	ask := func(n int) {
		romeo.Sends(fmt.Sprintf(`<presence id='p' type='subscribe' to='juliet%d@example.com'/>`, n))
	}
	for i := range 5 {
		ask(i)
	}
	romeo.Forgets()
	ask(5)
	romeo.Gets(`<presence type='error' id='p'>…<error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></presence>`)
	now = now.Add(15 * time.Minute)
	ask(6)
	romeo.GetsNothing()
}

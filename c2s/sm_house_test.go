package c2s_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

const (
	nsSM      = "urn:xmpp:sm:3"
	enableXML = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
)

// managed is a client with stream management. It counts what it gets and answers when it is
// asked, unless it is mute.
type managed struct {
	*xmpptest.Client
	h     *house
	name  string
	id    string
	max   string
	in    uint32 // stanzas that it got
	out   uint32 // that the server has acknowledged
	mute  bool
	acks  int                     // elements that have said so
	asked int                     // how often it was asked
	heard []string                // the bodies of its messages
	way   func() *xmpptest.Client // how it comes back; nil: by TCP
}

// managed logs in and enables stream management with resumption.
func (h *house) managed(name, resource string) *managed {
	h.t.Helper()
	m := &managed{Client: h.login(name, resource), h: h, name: name}
	m.enable(enableXML)
	return m
}

func (m *managed) enable(xml string) {
	m.h.t.Helper()
	m.Say(xml)
	st := m.Next()
	if st.Name.Local != "enabled" {
		m.h.t.Fatalf("got %s instead of <enabled/>", st)
	}
	m.id, _ = st.Attr("id")
	m.max, _ = st.Attr("max")
}

// element takes an element of stream management and reports whether it was one.
func (m *managed) element(st *xmpp.Stanza) bool {
	if st.Kind != xmpp.Nonza || st.Name.Space != nsSM {
		return false
	}
	switch st.Name.Local {
	case "r":
		m.asked++
		if !m.mute {
			m.Write(fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", m.in))
		}
	case "a":
		m.acks++
		h, _ := st.Attr("h")
		n, err := strconv.ParseUint(h, 10, 32)
		if err != nil {
			m.h.t.Fatalf("got %s", st)
		}
		m.out = uint32(n)
	default:
		m.h.t.Fatalf("got %s", st)
	}
	return true
}

// get returns the next stanza.
func (m *managed) get() *xmpp.Stanza {
	m.h.t.Helper()
	for {
		st := m.Next()
		if !m.element(st) {
			m.count(st)
			return st
		}
	}
}

func (m *managed) count(st *xmpp.Stanza) {
	m.in++
	if st.Kind == xmpp.Message {
		m.heard = append(m.heard, st.Child("", "body").Text())
	}
}

// gets is get for one that holds all these parts.
func (m *managed) gets(parts ...string) *xmpp.Stanza {
	m.h.t.Helper()
	st := m.get()
	for _, p := range parts {
		if !strings.Contains(st.String(), p) {
			m.h.t.Fatalf("%s: %q is missing in\n%s", m.JID, p, st)
		}
	}
	return st
}

// ack acknowledges all that it got.
func (m *managed) ack() { m.Say("<a xmlns='urn:xmpp:sm:3' h='%d'/>", m.in) }

// handled asks the server for its count.
func (m *managed) handled() uint32 {
	m.h.t.Helper()
	n := m.acks
	m.Say("<r xmlns='urn:xmpp:sm:3'/>")
	for m.acks == n {
		if st := m.Next(); !m.element(st) {
			m.count(st)
		}
	}
	return m.out
}

// sync returns when all that was said is done, and passes over what comes until then.
func (m *managed) sync() {
	m.h.t.Helper()
	m.Say("<iq type='get' id='sync' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", host)
	for m.get().ID != "sync" {
	}
}

// cut breaks the connection off.
func (m *managed) cut() { m.Close() }

// authenticated opens a stream of the client's account that has no resource yet.
func (m *managed) authenticated() *xmpptest.Client {
	m.h.t.Helper()
	dial := m.h.dial
	if m.way != nil {
		dial = m.way
	}
	c := dial()
	if err := c.TryLogin(xmpptest.Login{User: m.name, Password: password, NoBind: true}); err != nil {
		m.h.t.Fatal(err)
	}
	return c
}

// ask asks for the session on a new connection and returns that and the answer.
func (m *managed) ask() (*xmpptest.Client, *xmpp.Stanza) {
	m.h.t.Helper()
	c := m.authenticated()
	c.Say("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", m.id, m.in)
	return c, c.Next()
}

// resume goes on with the session on a new connection, and returns what the server says to
// have handled.
func (m *managed) resume() uint32 {
	m.h.t.Helper()
	c, st := m.ask()
	if prev, _ := st.Attr("previd"); st.Name.Local != "resumed" || prev != m.id {
		m.h.t.Fatalf("got %s instead of <resumed/>", st)
	}
	c.JID, m.Client = m.JID, c
	h, _ := st.Attr("h")
	n, err := strconv.ParseUint(h, 10, 32)
	if err != nil {
		m.h.t.Fatal(err)
	}
	m.out = uint32(n)
	return m.out
}

// gone waits until the server has noticed that a session of the account has no connection.
func (h *house) gone(bare string) {
	h.t.Helper()
	eventually(h.t, "a session of "+bare+" waits to be resumed", func() (found bool) {
		h.router.WithAccountInMemory(xmpp.MustJID(bare+"@"+host), func(a *router.Account) {
			for _, res := range a.Resources() {
				found = found || res.Attention() == router.Gone
			}
		})
		return found && h.Asleep() > 0
	})
}

// none waits until the account has no session.
func (h *house) none(bare string) {
	h.t.Helper()
	eventually(h.t, bare+" has no session", func() bool {
		left := 0
		h.router.WithAccountInMemory(xmpp.MustJID(bare+"@"+host), func(a *router.Account) { left = len(a.Resources()) })
		return left == 0
	})
}

// contacts makes ann, bob and cid; ann and bob see each other, and ann sees cid.
func (h *house) contacts() {
	h.t.Helper()
	h.account("ann", "bob", "cid")
	for _, name := range []string{"ann", "bob", "cid"} {
		h.router.Joined(xmpp.MustJID(name + "@" + host))
	}
	h.router.Wait(h.t.Context())
}

// keeper keeps every message with a body until some device has taken it, and remembers what
// it is told of them.
type keeper struct {
	mu   sync.Mutex
	ids  map[storage.ID]string // id -> body
	took []string
	left []string
}

func (k *keeper) feature() router.Feature {
	k.ids = map[storage.ID]string{}
	return router.Feature{
		Name: "keeper",
		Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			if body := p.Stanza.Child("", "body").Text(); body != "" && !p.WillWait() {
				p.Keep(kept{k, body})
				p.Wait()
			}
			return nil
		}},
		Took: func(_ *router.Account, ids []storage.ID) { k.note(&k.took, ids) },
		Left: func(_ *router.Turn, _ *router.Account, s *router.Sender) { k.note(&k.left, s.Held()) },
	}
}

func (k *keeper) note(list *[]string, ids []storage.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		*list = append(*list, k.ids[id])
	}
}

func (k *keeper) lists() (took, left string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.took, " "), strings.Join(k.left, " ")
}

// kept is a message that the keeper keeps.
type kept struct {
	k    *keeper
	body string
}

func (p kept) Write(*storage.Tx, storage.ID) error { return nil }
func (p kept) Undo(*storage.Tx, storage.ID) error  { return nil }
func (p kept) Written(id storage.ID, err error) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.k.ids[id] = p.body
}

// say sends a chat message from one client to an address.
func say(from *xmpptest.Client, to, body string) {
	from.Say("<message type='chat' to='%s'><body>%s</body></message>", to, body)
}

// keeping opens a house with a keeper.
func keeping(t testing.TB, change func(*plan)) (*house, *keeper) {
	k := &keeper{}
	return open(t, func(p *plan) {
		p.features = []router.Feature{k.feature()}
		if change != nil {
			change(p)
		}
	}), k
}

// moment is how long sessions wait in tests of what comes then.
const moment = time.Second

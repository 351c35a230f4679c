//go:build interop

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// crossing is how many messages go each way in TestInteropFederationUnwritten.
const crossing = 500

// Messages go both ways between Parley, where nothing is archived, and Prosody, while the link
// is cut or Parley is killed. Whatever Parley has acknowledged to its user arrives at Prosody's,
// in order; whatever Prosody's user has said arrives, or comes back as an error of Prosody's: what
// Parley has acknowledged to Prosody arrives.
func TestInteropFederationUnwritten(t *testing.T) {
	for _, c := range []struct {
		name   string
		sm     bool // of the client at Parley
		breaks func(p *federated, out, in *wire)
	}{
		{"cut/sm", true, func(_ *federated, out, in *wire) { out.cut(); in.cut() }},
		{"cut/ping", false, func(_ *federated, out, in *wire) { out.cut(); in.cut() }},
		{"killed/sm", true, func(p *federated, _, _ *wire) { p.crash(); p.start() }},
		{"killed/ping", false, func(p *federated, _, _ *wire) { p.crash(); p.start() }},
	} {
		t.Run(c.name, func(t *testing.T) { crosses(t, c.sm, c.breaks) })
	}
}

func crosses(t *testing.T, sm bool, breaks func(p *federated, out, in *wire)) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := func(server string) vhost {
		return vhost{domain: server + ".example", cred: ca.issue(server+".example", leaf{}), sm: true}
	}
	prosody := startProsody(t, names, ca, nil, host("prosody"))
	parley := startFederated(t, names, ca, federation{hosts: []vhost{host("parley")}, tables: "[archive]\ndefault = \"never\"\n"})
	out, in := newWire(t, prosody.s2s), newWire(t, parley.s2s)
	names.serves("prosody.example", "xmpp-server", out.addr)
	names.serves("parley.example", "xmpp-server", in.addr)
	romeo := prosody.comes(t, "romeo", "prosody.example")
	first := parley.comes(t, "juliet", "parley.example")
	exchange(t, first, romeo)
	first.leaves() // what is for one device alone need not be written

	var acknowledged, heard []string
	phone := &xmpptest.Device{
		Login: xmpptest.Login{User: "juliet", Password: "pw-juliet", Resource: "phone"}, SM: sm,
		Handled: func(id string) { acknowledged = append(acknowledged, id) },
		Hear:    func(h *xmpptest.Heard) { heard = append(heard, h.ID) },
	}
	comes := func() {
		t.Helper()
		phone.Options = xmpptest.Options{Addr: "127.0.0.1:" + parley.port, Host: "parley.example", TLS: &tls.Config{InsecureSkipVerify: true}}
		if _, err := phone.Connect(true); err != nil {
			t.Fatal(err)
		}
		if err := phone.Presence(1); err != nil {
			t.Fatal(err)
		}
	}
	comes()
	said := make(chan struct{})
	go func() {
		defer close(said)
		for i := range crossing {
			romeo.says("<message type='chat' id='r-%d' to='juliet@parley.example'><body>Number %d</body></message>", i, i)
			time.Sleep(200 * time.Microsecond)
		}
	}()
	for i := range crossing {
		if i == crossing/2 {
			breaks(parley, out, in)
			if phone.Sync() != nil {
				phone.Drop()
				comes()
			}
		}
		id := fmt.Sprintf("j-%d", i)
		if err := phone.Message(id, fmt.Sprintf("<message type='chat' id='%s' to='%s'><body>Number %d</body></message>", id, romeo.jid, i)); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%20 == 19:
			if err := phone.Take(time.Millisecond); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		case !sm && i%50 == 48: // without counts nothing else acknowledges
			if err := phone.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-said
	if err := phone.Sync(); err != nil {
		t.Fatal(err)
	}

	if len(acknowledged) < crossing/2 {
		t.Errorf("only %d were acknowledged", len(acknowledged))
	}
	var all []string
	for i := range crossing {
		all = append(all, fmt.Sprintf("r-%d", i))
	}
	came, back := received{}, map[string]bool{}
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		for st := romeo.hearsWithin(20*time.Millisecond, "<message"); st != nil; st = romeo.hearsWithin(20*time.Millisecond, "<message") {
			if st.Type == "error" {
				back[st.ID] = true
			} else {
				came = append(came, st.ID)
			}
		}
		if err := phone.Take(20 * time.Millisecond); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if len(came.lacks(acknowledged, nil)) == 0 && len(received(heard).lacks(all, back)) == 0 {
			break
		}
	}
	if lost := came.lacks(acknowledged, nil); len(lost) > 0 {
		t.Errorf("of %d that were acknowledged %d have not come to romeo: %v", len(acknowledged), len(lost), lost)
	}
	if lost := received(heard).lacks(all, back); len(lost) > 0 {
		t.Errorf("%d have neither come to juliet nor back: %v", len(lost), lost)
	}
	came.inOrder(t, "j")
	t.Logf("acknowledged to juliet: %d; came to romeo: %d, %d of them again; to juliet: %d, %d again; back to romeo: %d",
		len(acknowledged), len(came), len(came.twice("j")), len(heard), len(received(heard).twice("r")), len(back))
}

// received is ids of messages, in the order in which they came.
type received []string

// lacks returns what of these has not come and is not among those that are excused.
func (r received) lacks(ids []string, excused map[string]bool) (list []string) {
	for _, id := range ids {
		if !slices.Contains(r, id) && !excused[id] {
			list = append(list, id)
		}
	}
	return list
}

// inOrder wants what came for the first time to be in order.
func (r received) inOrder(t *testing.T, who string) {
	t.Helper()
	highest := -1
	for at, id := range r {
		var n int
		if _, err := fmt.Sscanf(id, who+"-%d", &n); err != nil || slices.Contains(r[:at], id) {
			continue
		}
		if n < highest {
			t.Errorf("%s came after %s-%d", id, who, highest)
		}
		highest = max(n, highest)
	}
}

// twice returns what came more than once.
func (r received) twice(who string) (list []string) {
	for at, id := range r {
		if strings.HasPrefix(id, who) && slices.Contains(r[:at], id) {
			list = append(list, id)
		}
	}
	return list
}

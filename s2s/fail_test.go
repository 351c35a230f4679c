package s2s

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xmpp"
)

// TestGivenUp wants the sender to hear what became of a message, and the archive to know.
func TestGivenUp(t *testing.T) {
	a := open(t, func(p *plan) { p.set.GiveUp = 50 * time.Millisecond }, "a.example")
	a.leads("b.example", "127.0.0.1:1", false)
	ann := a.Online("ann@a.example/1")
	ann.Says("<message to='bob@b.example' type='chat' id='m1'><body>Hello</body></message>")
	wants(t, ann, "<message from='bob@b.example' to='ann@a.example/1' type='error' id='m1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></message>")
	ann.Says("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
	var ids []string
	for {
		var st *xmpp.Stanza
		routertest.Eventually(t, "an answer of the archive", func() bool { st = ann.Hears(); return st != nil })
		if st.Kind == xmpp.IQ {
			break
		}
		ids = append(ids, st.String())
	}
	if len(ids) != 2 || !strings.Contains(ids[0], "Hello") || !strings.Contains(ids[1], "remote-server-timeout") {
		t.Errorf("the archive has\n%s", strings.Join(ids, "\n"))
	}
	ann.Says("<iq type='get' to='b.example' id='i1'><ping xmlns='urn:xmpp:ping'/></iq>") // while nothing is tried
	wants(t, ann, "<iq from='b.example' to='ann@a.example/1' type='error' id='i1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>")
}

// TestWaits has messages wait for a domain over a restart, and arrive in order.
func TestWaits(t *testing.T) {
	b := open(t, nil, "b.example")
	a := open(t, nil, "a.example")
	b.leads("a.example", a.starttls, false)
	a.leads("b.example", "127.0.0.1:1", false)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	for _, id := range []string{"1", "2", "3"} {
		ann.Says("<message to='bob@b.example' type='chat' id='" + id + "'><body>Hello</body></message>")
	}
	a.stop()
	a.leads("b.example", b.starttls, false)
	a.again()
	b.leads("a.example", a.starttls, false)
	for _, id := range []string{"1", "2", "3"} {
		wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='"+id+"'><body>Hello</body></message>")
	}
	a.stop()
	a.again()
	b.leads("a.example", a.starttls, false)
	ann.Says("<message to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
	wants(t, bob, "<message from='ann@a.example/1' to='bob@b.example' type='chat' id='4'><body>Hello</body></message>")
}

// TestWordsOfFailures has a domain be reached in vain, and wants plain words for the operator and
// for who has sent something: what the other side does, and no address of ours.
func TestWordsOfFailures(t *testing.T) {
	header := strings.Replace(fakeHeader, "from=", "xml:lang='en' from=", 1)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"refuses":      {nil, "its server cannot be connected to: connect: connection refused"},
		"says nothing": {func(c net.Conn) { io.Copy(io.Discard, c) }, "it does not answer in time"},
		"closes":       {func(c net.Conn) { c.Read(make([]byte, 1024)) }, "it has closed the connection and said nothing"},
		"closes later": {func(c net.Conn) { c.Read(make([]byte, 1024)); io.WriteString(c, header) }, "it has closed the connection and said nothing"},
		"breaks":       {func(c net.Conn) { c.Read(make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) }, "it has broken the connection (reset)"},
		"speaks mail":  {func(c net.Conn) { io.WriteString(c, "220 mail\r\n"); io.Copy(io.Discard, c) }, "what answers does not speak as an XMPP server does: text outside of a stanza (bad-format)"},
		"speaks to clients": {func(c net.Conn) {
			io.WriteString(c, strings.Replace(header, "jabber:server'", "jabber:client'", 1))
			io.Copy(io.Discard, c)
		}, "what answers does not speak as an XMPP server does: the content namespace of this stream is jabber:server (invalid-namespace)"},
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t, func(p *plan) { p.set.Connect = 3 * time.Second }, "a.example")
			where := "127.0.0.1:1"
			if c.serve != nil {
				where = stands(t, c.serve)
			}
			a.leads("b.example", where, false)
			check := a.Check(t.Context(), "a.example", "b.example", false)
			if check.Error != c.want {
				t.Errorf("%q instead of %q", check.Error, c.want)
			}
			if last := check.Path[len(check.Path)-1]; !last.Failed || !strings.HasSuffix(last.Text, c.want[strings.LastIndex(c.want, ": ")+1:]) {
				t.Errorf("the last step is %+v", last)
			}
			ann := a.Online("ann@a.example/1")
			ann.Says("<iq type='get' to='b.example' id='i1'><ping xmlns='urn:xmpp:ping'/></iq>")
			wants(t, ann, "<iq from='b.example' to='ann@a.example/1' type='error' id='i1'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>"+c.want+"</text></error></iq>")
		})
	}
}

// TestKeysAreNoProbes has a stranger send keys for domains whose records lead to ports in our
// network: what is behind these it does not learn.
func TestKeysAreNoProbes(t *testing.T) {
	b := open(t, func(p *plan) { p.set.Connect = 2 * time.Second }, "b.example")
	b.leads("closed.example", "127.0.0.1:1", false)
	b.leads("mail.example", stands(t, func(c net.Conn) { io.WriteString(c, "220 mail\r\n"); io.Copy(io.Discard, c) }), false)
	b.leads("silent.example", stands(t, func(c net.Conn) { io.Copy(io.Discard, c) }), true)
	for _, domain := range []string{"closed.example", "mail.example", "silent.example"} {
		r := dialRaw(t, b.starttls)
		r.secure(nil, domain, "b.example")
		r.say("<db:result from='%s' to='b.example'>key</db:result>", domain)
		got := r.hears("</db:result>")
		if _, text, _ := strings.Cut(got, "xml:lang='en'>"); text != "the server of "+domain+" could not be reached and believed</text></error></db:result>" {
			t.Errorf("%s: %s", domain, got)
		}
	}
	if !b.log.has("connection refused") || !b.log.has("(bad-format)") {
		t.Error("the log does not say what has happened")
	}
}

// TestSilentTarget has the first of two targets take the connection and say nothing: there is
// time for the second.
func TestSilentTarget(t *testing.T) {
	b := open(t, nil, "b.example")
	a := open(t, func(p *plan) { p.set.Connect = 6 * time.Second }, "a.example")
	b.leads("a.example", a.starttls, false)
	silent := stands(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	a.routes.Store("b.example", []string{silent, "tls://" + silent, b.starttls})
	if c := a.Check(t.Context(), "a.example", "b.example", true); c.Error != "" {
		t.Errorf("%s\n%v", c.Error, c.Path)
	}
}

// stands listens, has serve speak on each connection, and closes that when it returns.
func stands(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	return l.Addr().String()
}

package c2s_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// stages are the states of a stream in which a client may send anything: each gives a
// connection in that state.
var stages = map[string]func(*house) *xmpptest.Client{
	"before the header": func(h *house) *xmpptest.Client { return h.raw() },
	"after the header": func(h *house) *xmpptest.Client {
		c := h.raw()
		if err := c.Open(); err != nil {
			h.t.Fatal(err)
		}
		return c
	},
	"under TLS": func(h *house) *xmpptest.Client { return h.dial() },
	"amid SASL": func(h *house) *xmpptest.Client {
		c := h.dial()
		c.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>", "biwsbj1tcixyPXJPcHJOR2Z3RWJlUldnYk5Fa3FP")
		c.Expect("<challenge")
		return c
	},
	"authenticated": func(h *house) *xmpptest.Client {
		c := h.dial()
		c.Login(xmpptest.Login{User: "mallory", Password: password, NoBind: true})
		return c
	},
	"bound": func(h *house) *xmpptest.Client { return h.login("mallory", "") },
}

// prolog is what must stand before anything else on a connection.
func prolog(stage string) string {
	if stage == "before the header" {
		return "<?xml version='1.0'?>"
	}
	return ""
}

// Requirements 1 and 3: what XMPP forbids of XML ends the stream at once and small.
func TestRestrictedXML(t *testing.T) {
	h := open(t, nil)
	h.account("mallory")
	laughs := "<!DOCTYPE lolz [<!ENTITY lol 'lol'>"
	for i := range 9 {
		laughs += fmt.Sprintf("<!ENTITY lol%d '%s'>", i, strings.Repeat("&lol;", 10))
	}
	for name, xml := range map[string]string{
		"billion laughs": laughs + "]>", "DOCTYPE": "<!DOCTYPE stream SYSTEM 'file:///etc/passwd'>",
		"instruction": "<?php echo 1 ?>", "comment": "<!-- hello -->",
	} {
		for stage, reach := range stages {
			t.Run(name+" "+stage, func(t *testing.T) {
				c := reach(h)
				began, before := time.Now(), heap()
				c.Say("%s", prolog(stage)+xml)
				c.ExpectEnd("restricted-xml")
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				if grown := heap() - before; grown > 32<<20 {
					t.Errorf("the heap grew by %d bytes", grown)
				}
			})
		}
	}
	c := h.login("mallory", "")
	c.Say("<message to='mallory@%s'><body>&lol;</body></message>", host)
	c.ExpectEnd("restricted-xml")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Requirements 2 to 5: limits and forbidden bytes, in every state.
func TestMalformedAndTooMuch(t *testing.T) {
	h := open(t, nil)
	h.account("mallory")
	for name, bad := range map[string]struct{ xml, condition string }{
		"nesting":         {strings.Repeat("<x xmlns='x'>", 6000), "policy-violation"},
		"attributes":      {"<x xmlns='x'" + attributes(3000) + "/>", "policy-violation"},
		"overlong UTF-8":  {"<x xmlns='x'>\xc0\xaf</x>", "not-well-formed"},
		"surrogate":       {"<x xmlns='x'>\xed\xa0\x80</x>", "not-well-formed"},
		"NUL":             {"<x xmlns='x'>\x00</x>", "not-well-formed"},
		"noncharacter":    {"<x xmlns='x'>\xef\xbf\xbf</x>", "not-well-formed"},
		"undeclared":      {"<x:y/>", "not-well-formed"},
		"crossed":         {"<x xmlns='x'><y></x></y>", "not-well-formed"},
		"twice":           {"<x xmlns='x' a='1' a='2'/>", "not-well-formed"},
		"text in between": {"hello", "bad-format"},
	} {
		for stage, reach := range stages {
			if stage == "before the header" {
				continue // see TestErrorsBeforeTheHeader
			}
			t.Run(name+" "+stage, func(t *testing.T) {
				c := reach(h)
				c.Write(bad.xml) // the server may be gone before it ends
				c.ExpectEnd(bad.condition)
			})
		}
	}
	h.serves()
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d=''", i)
	}
	return b.String()
}

// Requirement 2: the limit counts while bytes arrive; 10 MB are never buffered.
func TestSizeLimitCountsWhileBytesArrive(t *testing.T) {
	h := open(t, nil)
	h.account("mallory")
	for stage, reach := range stages {
		if stage == "before the header" {
			continue
		}
		t.Run(stage, func(t *testing.T) {
			c := reach(h)
			limit := c2s.Defaults().StanzaBefore
			if stage == "bound" || stage == "managed" || stage == "authenticated" {
				limit = c2s.Defaults().Stanza
			}
			before := heap()
			sent, text := 0, strings.Repeat("x", 32<<10)
			c.Say("<message><body>")
			for sent < 10<<20 && c.Write(text) == nil {
				sent += len(text)
			}
			c.ExpectEnd("policy-violation")
			if sent > limit+(8<<20) { // what socket buffers hold
				t.Errorf("%d bytes were taken", sent)
			}
			if grown := heap() - before; grown > 2<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

// A stanza as large as is allowed passes, one byte more does not.
func TestStanzaOfTheLargestSize(t *testing.T) {
	h := open(t, nil)
	c := h.login("mallory", "")
	frame := fmt.Sprintf("<message id='big' to='%s'><body></body></message>", c.JID)
	text := strings.Repeat("x", c2s.Defaults().Stanza-len(frame))
	c.Say("%s", strings.Replace(frame, "</body>", text+"</body>", 1))
	if st := c.Next(); len(st.Child("", "body").Text()) != len(text) {
		t.Errorf("got %d bytes", st.Len())
	}
	c.Say("%s", strings.Replace(frame, "</body>", text+"x</body>", 1))
	c.ExpectEnd("policy-violation")
}

// Requirement 5: UTF-8 only.
func TestUTF16IsRefused(t *testing.T) {
	h := open(t, nil)
	header := xmpptest.Header(host, "")
	for name, units := range map[string]func(rune) []byte{
		"little": func(r rune) []byte { return []byte{byte(r), 0} },
		"big":    func(r rune) []byte { return []byte{0, byte(r)} },
	} {
		wide := units(0xFE)[:0]
		if name == "little" {
			wide = append(wide, 0xFF, 0xFE)
		} else {
			wide = append(wide, 0xFE, 0xFF)
		}
		for _, r := range header {
			wide = append(wide, units(r)...)
		}
		c := h.raw()
		c.Say("%s", string(wide))
		if got := c.End(); got != "unsupported-encoding" && got != "not-well-formed" {
			t.Errorf("%s: %q", name, got)
		}
	}
	c := h.raw()
	c.Say("<?xml version='1.0' encoding='ISO-8859-1'?>")
	c.ExpectEnd("unsupported-encoding")
}

// Requirement 8: what is wrong with a header, and that ours comes first.
func TestErrorsBeforeTheHeader(t *testing.T) {
	h := open(t, nil)
	ns := "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
	for name, bad := range map[string]struct{ xml, condition string }{
		"host-unknown":       {"<stream:stream " + ns + " version='1.0' to='nowhere.example'>", "host-unknown"},
		"no to":              {"<stream:stream " + ns + " version='1.0'>", "improper-addressing"},
		"malformed to":       {"<stream:stream " + ns + " version='1.0' to='@'>", "improper-addressing"},
		"no version":         {"<stream:stream " + ns + " to='" + host + "'>", "unsupported-version"},
		"version 0.9":        {"<stream:stream " + ns + " version='0.9' to='" + host + "'>", "unsupported-version"},
		"stream namespace":   {"<stream:stream xmlns='jabber:client' xmlns:stream='x' version='1.0' to='" + host + "'>", "invalid-namespace"},
		"content namespace":  {"<stream:stream xmlns='jabber:server' xmlns:stream='" + xmpp.NSStream + "' version='1.0' to='" + host + "'>", "invalid-namespace"},
		"not a stream":       {"<message xmlns='jabber:client'/>", ""},
		"not well-formed":    {"<stream:stream " + ns + " to='<'", "not-well-formed"},
		"HTTP":               {"GET / HTTP/1.1\r\n\r\n", "bad-format"},
		"a header too large": {"<stream:stream " + ns + " to='" + strings.Repeat("x", 70<<10), "policy-violation"},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.raw()
			c.Write(bad.xml)
			got := c.End()
			if c.Header == nil {
				t.Error("the server sent no header")
			} else if c.Header.ID == "" {
				t.Error("the header has no id")
			}
			if bad.condition != "" && got != bad.condition {
				t.Errorf("it ended with %q", got)
			}
			if bad.condition == "" && (got == "" || strings.HasPrefix(got, "broken")) {
				t.Errorf("it ended with %q", got)
			}
		})
	}
}

// A stream header of ours answers with what RFC 6120 §4.7 asks for, and never twice the
// same id (requirement 22).
func TestStreamHeader(t *testing.T) {
	h := open(t, nil)
	seen := map[string]bool{}
	for range 20 {
		o := h.options()
		o.From = "juliet@" + host
		c := xmpptest.Dial(t, o)
		hd := c.Header
		if hd.From != host || hd.To != "juliet@"+host || hd.Version != "1.0" || hd.Lang == "" || hd.NS != xmpp.NSClient {
			t.Fatalf("%+v", hd)
		}
		if len(hd.ID) < 22 || seen[hd.ID] {
			t.Fatalf("id %q", hd.ID)
		}
		seen[hd.ID] = true
	}
}

// The domain of a connection stays, and what a stream claimed in clear is forgotten.
func TestDomainStaysTheSame(t *testing.T) {
	h := open(t, nil)
	c := xmpptest.Connect(t, h.options())
	if err := errors.Join(c.Open(), c.StartTLS()); err != nil {
		t.Fatal(err)
	}
	c.Say("%s", xmpptest.Header(other, ""))
	if err := c.Opened(); err == nil || !strings.Contains(err.Error(), "host-unknown") {
		t.Errorf("got %v", err)
	}
	c.ExpectEnd("")
}

// Requirement 20: nothing is routed before login and bind.
func TestStanzasBeforeTheirTime(t *testing.T) {
	h := open(t, nil)
	victim := h.login("juliet", "")
	victim.Say("<presence/>")
	victim.Ping(nil)
	h.account("mallory")
	for stage, reach := range stages {
		if stage == "before the header" || stage == "bound" || stage == "managed" {
			continue
		}
		for _, xml := range []string{
			"<message to='juliet@" + host + "'><body>hi</body></message>", "<presence to='juliet@" + host + "'/>",
			"<iq type='get' id='1' to='" + host + "'><ping xmlns='urn:xmpp:ping'/></iq>",
			"<iq type='set' id='2'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
			"<iq type='result' id='2'/>", "<presence from='juliet@" + host + "/x'/>",
		} {
			t.Run(stage+" "+xml, func(t *testing.T) {
				c := reach(h)
				c.Say("%s", xml)
				c.ExpectEnd("not-authorized")
			})
		}
		if stage != "amid SASL" {
			c := reach(h)
			c.Say("<unknown xmlns='urn:example:nothing'/>")
			c.ExpectEnd("unsupported-stanza-type")
		}
	}
	victim.Ping(func(st *xmpp.Stanza) { t.Errorf("it was routed: %s", st) })
	victim.Say("<unknown xmlns='urn:example:nothing'/>")
	victim.ExpectEnd("unsupported-stanza-type")
}

// Requirement 9: the end of a stream is answered, what follows it is ignored.
func TestClosingHandshake(t *testing.T) {
	h := open(t, nil)
	juliet := h.login("juliet", "balcony")
	c := h.login("romeo", "")
	c.Say("<message to='%s'><body>before</body></message></stream:stream><message to='%s'><body>after</body></message>", juliet.JID, juliet.JID)
	c.ExpectEnd("")
	juliet.Expect("before")
	juliet.Ping(func(st *xmpp.Stanza) { t.Errorf("after the end: %s", st) })
	eventually(t, "one session is left", func() bool { return h.router.Sessions() == 1 })
	juliet.Bye()
	eventually(t, "no connection is left", func() bool { return h.Stats().Open.Load() == 0 })
}

// Who stops writing gets what is still to come, and the end of the stream.
func TestHalfClosed(t *testing.T) {
	h := open(t, nil)
	c := h.login("juliet", "")
	c.Say("<iq type='get' id='last' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", host)
	c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	c.Expect("id='last'", "result")
	c.ExpectEnd("")
}

// Requirement 6: bytes one by one are the same as all at once; white space is nothing.
func TestByteWise(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := xmpptest.Connect(t, h.options())
	for _, b := range []byte(xmpptest.Header(host, "")) {
		c.Say("%s", string(b))
	}
	if err := errors.Join(c.Opened(), c.StartTLS(), c.Open()); err != nil {
		t.Fatal(err)
	}
	c.Login(xmpptest.Login{User: "juliet", Password: password})
	c.Say("  \n\t ")
	for _, b := range []byte(fmt.Sprintf("<iq type='get' id='slow' to='%s'> <ping xmlns='urn:xmpp:ping'/>\n</iq> ", host)) {
		c.Say("%s", string([]byte{b}))
	}
	c.Expect("id='slow'", "result")
	c.Bye()
}

// Requirement 6: 300 requests at once are answered in order.
func TestPipelinedRequests(t *testing.T) {
	h := open(t, nil)
	c := h.login("juliet", "")
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "<iq type='get' id='r%d' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", i, host)
	}
	c.Say("%s", b.String())
	for i := range 300 {
		c.Expect(fmt.Sprintf("id='r%d'", i), "result")
	}
	c.Bye()
}

// Requirement 7: a prefix of one stream's header is declared on another's stanza, and
// white space in attributes is kept.
func TestHeaderPrefixesAreRelayed(t *testing.T) {
	h := open(t, nil)
	h.account("romeo")
	juliet := h.login("juliet", "balcony")
	c := xmpptest.Connect(t, h.options())
	if err := errors.Join(c.Open(), c.StartTLS()); err != nil {
		t.Fatal(err)
	}
	c.Say("<stream:stream xmlns='jabber:client' xmlns:stream='%s' xmlns:q='urn:example:q' xml:lang='it' version='1.0' to='%s'>", xmpp.NSStream, host)
	if err := c.Opened(); err != nil {
		t.Fatal(err)
	}
	c.Login(xmpptest.Login{User: "romeo", Password: password, SASL2: true})
	c.Say("<message to='%s'><body>x</body><q:thing q:a='1' b='&#9;&#10;&#13;'/></message>", juliet.JID)
	st := juliet.Expect("xml:lang='it'", "urn:example:q", "from='"+c.JID.String()+"'")
	if e := st.Child("urn:example:q", "thing"); e.IsZero() || e.Attr("b") != "\t\n\r" {
		t.Errorf("got %s", st)
	}
	juliet.Bye()
}

// Requirement 24: the recipient sees the true 'from', or nothing.
func TestFalseFrom(t *testing.T) {
	h := open(t, nil)
	juliet := h.login("juliet", "balcony")
	c := h.login("mallory", "")
	c.Say("<message to='%s' from='%s'><body>me</body></message>", juliet.JID, c.JID.Bare())
	juliet.Expect("from='" + c.JID.String() + "'")
	c.Say("<message to='%s' from='romeo@%s'><body>not me</body></message>", juliet.JID, host)
	c.ExpectEnd("invalid-from")
	juliet.Ping(func(st *xmpp.Stanza) { t.Errorf("it was delivered: %s", st) })
}

// Requirement 25: a malformed address is a stanza error.
func TestMalformedAddress(t *testing.T) {
	h := open(t, nil)
	c := h.login("juliet", "")
	c.Say("<message id='m' to='@@'><body>x</body></message>")
	c.Expect("type='error'", "jid-malformed", "id='m'")
	c.Bye()
}

// No compression is offered (requirement 11), nothing but STARTTLS in clear (12).
func TestFeatures(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.raw()
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	if f := c.Features; !f.Has(xmpp.NSTLS, "starttls") || f.Child(xmpp.NSTLS, "starttls").Child("", "required").IsZero() ||
		strings.Contains(f.String(), "mechanism") || strings.Contains(f.String(), "compress") {
		t.Errorf("in clear: %s", f)
	}
	c = h.dial()
	if f := c.Features.String(); strings.Contains(f, "compress") || strings.Contains(f, "starttls") || strings.Contains(f, "PLAIN") || !strings.Contains(f, "SCRAM-SHA-256-PLUS") {
		t.Errorf("under TLS: %s", f)
	}
	c.Login(xmpptest.Login{User: "juliet", Password: password, NoBind: true})
	if f := c.Features; !f.Has(xmpp.NSBind, "bind") || strings.Contains(f.String(), "mechanism") || strings.Contains(f.String(), "compress") {
		t.Errorf("after login: %s", f)
	}
}

// What follows a stream error is the end of the connection.
func TestErrorsCloseTheConnection(t *testing.T) {
	h := open(t, nil)
	c := h.raw()
	c.Say("<x/>")
	c.End()
	if _, err := io.ReadAll(c.Conn); err != nil {
		t.Errorf("the connection did not end well: %v", err)
	}
}

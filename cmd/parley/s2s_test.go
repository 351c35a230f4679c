package main

import (
	"strings"
	"testing"
	"time"

	"parley/s2s"
)

// TestListOfPeers wants a reason for everything that waits.
func TestListOfPeers(t *testing.T) {
	var out strings.Builder
	listPeers(&out, peersInfo{Routes: []s2s.RouteInfo{
		{Local: "a.example", Remote: "b.example", State: "connected"},
		{Local: "a.example", Remote: "c.example", State: "connected", Waiting: 1},
		{Local: "a.example", Remote: "d.example", State: "connecting", Waiting: 2},
		{Local: "a.example", Remote: "e.example", State: "resting", Waiting: 3, Next: time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)},
		{Local: "a.example", Remote: "f.example", State: "resting", Error: "it has no address in DNS"},
	}})
	text := out.String()
	if strings.Contains(text, "b.example") {
		t.Errorf("nothing waits for b.example:\n%s", text)
	}
	for _, want := range []string{
		"c.example    a.example  1        -            it is connected, and has not taken this yet\n",
		"d.example    a.example  2        -            it is being connected to\n",
		"e.example    a.example  3        12:00:00     the connection was lost; the other server may go on with it\n",
		"f.example    a.example  0        -            it has no address in DNS\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
}

// TestShowOfPeers wants the way to a domain also where all is well.
func TestShowOfPeers(t *testing.T) {
	var out strings.Builder
	showPeer(&out, peersInfo{Links: []s2s.LinkInfo{{
		ID: "x1", Direction: "out", Local: "a.example", Remote: "b.example", Sends: map[string]string{"a.example -> b.example": "certificate"},
		Path: []s2s.Step{{Stage: "connect", Text: "tls://xmpp.b.example:5270 answers at 192.0.2.7"}},
	}}})
	if want := "x1 sends a.example -> b.example (certificate)\n  connect      tls://xmpp.b.example:5270 answers at 192.0.2.7\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q does not end with %q", out.String(), want)
	}
}

// TestStepsAreToldOnce: what was looked at twice in a row is one line.
func TestStepsAreToldOnce(t *testing.T) {
	var out strings.Builder
	showSteps(&out, []s2s.Step{{Stage: "tls", Text: "TLS 1.3"}, {Stage: "certificate", Text: "none", Failed: true}, {Stage: "certificate", Text: "none", Failed: true}})
	if want := "  tls          TLS 1.3\nx certificate  none\n"; out.String() != want {
		t.Errorf("%q instead of %q", out.String(), want)
	}
}

// TestClosingWhatWaits: what waits for a domain is tried again where nothing is connected, and
// where nothing waits either the operator is told so.
func TestClosingWhatWaits(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "[s2s_domains.\"away.example\"]\nroute = [\"127.0.0.1:1\"]\n")
	c.start()
	contains(t, c.fails(exitNotFound, "", "s2s", "close", "away.example"), "there is no connection with away.example, and nothing waits for it")
	c.must("pw\n", "user", "add", "juliet")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	juliet.send("<message to='romeo@away.example' type='chat' id='1'><body>Hello</body></message>")
	c.waitLog("a domain cannot be reached")
	contains(t, c.must("", "s2s", "close", "away.example"), "connections ended: 0; what waits is tried again now")
}

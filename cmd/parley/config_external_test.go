package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/xep/extdisco"
)

// TestExternalServices reads services from a file and from the environment.
func TestExternalServices(t *testing.T) {
	cfg, err := load(t, "[external_services.\"Relay\"]\ntype = \"turn\"\nhost = \"turn.example.org\"\nsecret = \"s\"\nlifetime = \"1h\"\n[external_services.b]\ntype = \"turns\"\nhost = \"2001:db8::1\"\nusername = \"u\"\npassword = \"p\"\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []extdisco.Service{
		{Name: "Relay", Type: "turn", Host: "turn.example.org", Port: 3478, Transport: "udp", Secret: "s", Lifetime: time.Hour},
		{Name: "b", Type: "turns", Host: "2001:db8::1", Port: 5349, Transport: "tcp", Username: "u", Password: "p"},
	}
	if diff := cmp.Diff(want, cfg.services()); diff != "" {
		t.Error(diff)
	}
	cfg, err = load(t, "", "PARLEY_EXTERNAL_SERVICES=A=stun:stun.example.org, B=turn:[2001:db8::1]:99:a:b")
	if err != nil {
		t.Fatal(err)
	}
	want = []extdisco.Service{
		{Name: "A", Type: "stun", Host: "stun.example.org", Port: 3478, Transport: "udp"},
		{Name: "B", Type: "turn", Host: "2001:db8::1", Port: 99, Transport: "udp", Secret: "a:b"},
	}
	if diff := cmp.Diff(want, cfg.services()); diff != "" {
		t.Error(diff)
	}
	for text, wrong := range map[string]string{
		"host = \"a.example\"": "is none of stun", "type = \"turn\"": "is neither a domain nor an address", "type = \"turn\"\nhost = \"a.example\"\nport = 70000": "is no port",
		"type = \"turn\"\nhost = \"a.example\"\ntransport = \"sctp\"": "is neither udp nor tcp", "type = \"turn\"\nhost = \"a.example\"\nsecret = \"x\"\nusername = \"u\"": "either a secret, or",
		"type = \"turn\"\nhost = \"a.example\"\nlifetime = \"1s\"": "is not between",
	} {
		if _, err := load(t, "[external_services.a]\n"+text); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, env := range []string{"A", "A=turn", "A=turn:h:port:topsecret"} {
		if _, err := load(t, "", "PARLEY_EXTERNAL_SERVICES="+env); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", env, err)
		}
	}
}

// TestExternalServicesReload: what a reload has changed is announced from then on.
func TestExternalServicesReload(t *testing.T) {
	c := newChild(t)
	c.write("parley.toml", "")
	c.start()
	c.must("pw\n", "user", "add", "juliet")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "one")
	asks := func() string {
		juliet.send("<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq><iq type='get' id='s' to='localhost'><services xmlns='urn:xmpp:extdisco:2'/></iq>")
		return juliet.expect("id='i'") + juliet.expect("</iq>") + juliet.expect("id='s'") + juliet.expect("</iq>")
	}
	if out := asks(); strings.Contains(out, "<feature var='urn:xmpp:extdisco:2'") || !strings.Contains(out, "service-unavailable") {
		t.Error(out)
	}
	c.write("parley.toml", "[external_services.Relay]\ntype = \"turn\"\nhost = \"turn.example.org\"\nsecret = \"s\"\n")
	c.must("", "reload")
	contains(t, asks(), "<feature var='urn:xmpp:extdisco:2'", "host='turn.example.org'", "restricted='true'")
}

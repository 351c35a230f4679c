//go:build interop

package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"parley/xmpp/xmpptest"
)

func TestInteropSlixmppCarbons(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", script(t, "slixmpp_carbons.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// Profanity shows what another device of its user sends and gets.
func TestInteropProfanityCarbons(t *testing.T) {
	p := startProcess(t, "")
	romeo := newProfanity(t, p, "romeo")
	romeo.types("/carbons on")
	romeo.login("pw-romeo")
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	login := func(user string) *xmpptest.Client {
		c := xmpptest.Dial(t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
		c.Login(xmpptest.Login{User: user, Password: "pw-" + user, Resource: "desk"})
		return c
	}
	desk, juliet := login("romeo"), login("juliet")
	desk.Say("<message to='juliet@localhost/desk' type='chat' id='1'><body>See how she leans her cheek</body></message>")
	juliet.Expect("See how she leans")
	romeo.shows("See how she leans her cheek", "/msg juliet@localhost")
	juliet.Say("<message to='romeo@localhost/desk' type='chat' id='2'><body>Ay me</body></message>")
	desk.Expect("Ay me")
	romeo.shows("Ay me", "")
}

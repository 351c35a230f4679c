//go:build interop

package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// What slixmpp publishes, its contacts and others hear and read, as they may.
func TestInteropSlixmppPEP(t *testing.T) { slixmppPlays(t, "slixmpp_pep.py") }

// What Gajim's library does with bookmarks, avatars and keys.
func TestInteropNbxmppPEP(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "/usr/bin/python3", "-B", script(t, "nbxmpp_pep.py"), p.port, p.cert())
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
}

// Profanity makes keys for OMEMO, which somebody who is no contact fetches, and hears of others'.
func TestInteropProfanityKeys(t *testing.T) {
	p := startProcess(t, "")
	romeo := newProfanity(t, p, "romeo")
	romeo.login("pw-romeo")
	romeo.types("/omemo gen")
	romeo.shows("materials generated. Your Device ID", "")
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	juliet := xmpptest.Dial(t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
	juliet.Login(xmpptest.Login{User: "juliet", Password: "pw-juliet", Resource: "desk"})
	fetch := func(node string) string {
		juliet.Say("<iq type='get' id='f' to='romeo@localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='" + node + "'/></pubsub></iq>")
		return juliet.Expect("id='f'").String()
	}
	var device []string
	var list string
	for late := time.Now().Add(20 * time.Second); device == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("no keys are published: %s", list)
		}
		list = fetch("eu.siacs.conversations.axolotl.devicelist")
		device = regexp.MustCompile(`<device id=['"](\d+)['"]`).FindStringSubmatch(list)
	}
	if bundle := fetch("eu.siacs.conversations.axolotl.bundles:" + device[1]); strings.Count(bundle, "<preKeyPublic") < 50 {
		t.Errorf("the keys of device %s: %s", device[1], bundle)
	}
}

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
	for late := time.Now().Add(60 * time.Second); device == nil; time.Sleep(100 * time.Millisecond) {
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

// TestInteropProfanityBookmarks: Profanity keeps bookmarks in private XML; others have the same as
// items, and what they change it finds at its next login.
func TestInteropProfanityBookmarks(t *testing.T) {
	p := startProcess(t, "")
	romeo := newProfanity(t, p, "romeo")
	romeo.login("pw-romeo")
	romeo.types("/bookmark add orchard@conference.localhost nick Romeo autojoin off")
	romeo.shows("Bookmark added for orchard@conference.localhost.", "")
	romeo.types("/bookmark add balcony@conference.localhost autojoin off")
	romeo.shows("Bookmark added for balcony@conference.localhost.", "")
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	phone := xmpptest.Dial(t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
	phone.Login(xmpptest.Login{User: "romeo", Password: "pw-romeo", Resource: "phone"})
	ask := func(typ, content string) string {
		phone.Say("<iq type='" + typ + "' id='b'><pubsub xmlns='http://jabber.org/protocol/pubsub'>" + content + "</pubsub></iq>")
		return phone.Expect("id='b'").String()
	}
	list := ""
	for late := time.Now().Add(60 * time.Second); !strings.Contains(list, "balcony@conference.localhost"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("the bookmarks of Profanity: %s", list)
		}
		list = ask("get", "<items node='urn:xmpp:bookmarks:1'/>")
	}
	for _, want := range []string{"id='orchard@conference.localhost'", "<nick>Romeo</nick>"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s is not there: %s", want, list)
		}
	}
	ask("set", "<publish node='urn:xmpp:bookmarks:1'><item id='garden@conference.localhost'><conference xmlns='urn:xmpp:bookmarks:1' name='Garden'><nick>R</nick></conference></item></publish>")
	ask("set", "<retract node='urn:xmpp:bookmarks:1'><item id='balcony@conference.localhost'/></retract>")
	romeo.types("/disconnect")
	romeo.shows("romeo@localhost logged out successfully.", "")
	romeo.clear("")
	romeo.login("pw-romeo")
	romeo.asks("/bookmark list", "garden@conference.localhost", "orchard@conference.localhost")
	if strings.Contains(romeo.screen(), "balcony@conference.localhost") {
		t.Errorf("what was removed is there:\n%s", romeo.screen())
	}
}

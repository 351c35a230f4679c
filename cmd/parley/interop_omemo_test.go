//go:build interop

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/storage"
	"parley/xmpp/xmpptest"
)

// keys makes a client's keys and returns what it shows of its own.
func (s *profanity) keys() string {
	s.t.Helper()
	s.types("/omemo gen")
	s.shows("materials generated. Your Device ID", "")
	s.asks("/omemo fingerprint", "Your OMEMO fingerprint")
	return regexp.MustCompile(`(?:[0-9a-f]{8}-){7}[0-9a-f]{8}`).FindString(s.screen())
}

// encrypts begins a conversation with somebody whose key is to be that one.
func (s *profanity) encrypts(with, key string) {
	s.t.Helper()
	s.types("/msg " + with)
	s.types("/omemo start")
	s.finds(key)
	s.types("/omemo trust " + key)
	s.shows("[OMEMO]", "")
}

// finds asks for the keys of the other one in a conversation until there is this: they are fetched.
func (s *profanity) finds(key string) {
	s.t.Helper()
	for late := time.Now().Add(90 * time.Second); !strings.Contains(s.screen(), key); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(late) {
			s.t.Fatalf("%s's Profanity does not find the key %s:\n%s", s.user, key, s.screen())
		}
		s.types("/omemo fingerprint")
	}
}

// TestInteropProfanityOMEMO has two who are no contacts find each other's keys, trust them and read
// what is encrypted (XEP-0384). The server has nothing of it that it could read.
func TestInteropProfanityOMEMO(t *testing.T) {
	p := startProcess(t, "")
	juliet, romeo := newProfanity(t, p, "juliet"), newProfanity(t, p, "romeo")
	juliet.login("pw-juliet")
	romeo.login("pw-romeo")
	hers, his := juliet.keys(), romeo.keys()
	if hers == "" || his == "" {
		t.Fatalf("no keys:\n%s\n%s", juliet.screen(), romeo.screen())
	}
	romeo.encrypts("juliet@localhost", hers)
	juliet.encrypts("romeo@localhost", his)
	const one, two = "It was the lark, the herald of the morn", "It is the nightingale"
	romeo.types(one)
	juliet.shows(one, "")
	juliet.types(two)
	romeo.shows(two, "")
	unreadable(t, p, 2, "lark", "nightingale")
}

// unreadable stops the server and looks that it has so many encrypted messages, and none with these
// words.
func unreadable(t *testing.T, p *process, messages int, words ...string) {
	t.Helper()
	p.stop()
	store, err := storage.Open(context.Background(), storage.Config{Dir: p.dir + "/data"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.Background())
	encrypted := 0
	err = store.Read(context.Background(), func(tx *storage.Tx) error {
		encrypted = 0
		return tx.Each(`select stanza from body`, nil, func(r *storage.Row) error {
			s := string(r.Bytes(0))
			for _, word := range words {
				if strings.Contains(s, word) {
					t.Errorf("this is not encrypted: %s", s)
				}
			}
			if strings.Contains(s, "<encrypted xmlns=") {
				encrypted++
			}
			return nil
		})
	})
	if err != nil || encrypted < messages {
		t.Errorf("%d messages are encrypted, %v", encrypted, err)
	}
}

// TestInteropGajimProfanityOMEMO has two clients of different making encrypt for each other.
func TestInteropGajimProfanityOMEMO(t *testing.T) {
	p := startProcess(t, "")
	romeo := newProfanity(t, p, "romeo")
	romeo.login("pw-romeo")
	romeo.types("/omemo trustmode blind")
	if romeo.keys() == "" {
		t.Fatalf("no keys:\n%s", romeo.screen())
	}
	gajim := begin(t, "", nil, "dbus-run-session", "--", "/usr/bin/python3", "-B", script(t, "gajim_omemo.py"), p.port, p.cert(), screenshots)
	p.waitsForKeys(t, "juliet")
	romeo.types("/msg juliet@localhost")
	romeo.types("/omemo start")
	romeo.shows("[OMEMO]", "")
	romeo.finds("juliet@localhost's OMEMO fingerprint: ")
	romeo.types("By a name")
	romeo.shows("I know the sound", "")
	romeo.types("Neither, fair maid")
	if out := gajim(); !strings.Contains(out, "ok") {
		t.Error(out)
	}
	unreadable(t, p, 3, "By a name", "sound", "fair maid")
}

// waitsForKeys waits until a user has published keys for OMEMO.
func (p *process) waitsForKeys(t *testing.T, user string) {
	t.Helper()
	pem, err := os.ReadFile(p.cert())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := xmpptest.Dial(t, xmpptest.Options{Addr: "127.0.0.1:" + p.port, Host: "localhost", TLS: &tls.Config{RootCAs: roots}})
	c.Login(xmpptest.Login{User: "romeo", Password: "pw-romeo", Resource: "asks"})
	for late := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		c.Say("<iq type='get' id='f' to='" + user + "@localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='eu.siacs.conversations.axolotl.devicelist'/></pubsub></iq>")
		got := c.Expect("id='f'").String()
		if strings.Contains(got, "<device ") {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s has published no keys: %s", user, got)
		}
	}
}

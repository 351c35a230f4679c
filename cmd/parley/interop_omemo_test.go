//go:build interop

package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/storage"
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
	for late := time.Now().Add(20 * time.Second); !strings.Contains(s.screen(), key); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(late) {
			s.t.Fatalf("%s's Profanity does not find %s's key %s:\n%s", s.user, with, key, s.screen())
		}
		s.types("/omemo fingerprint")
	}
	s.types("/omemo trust " + key)
	s.shows("[OMEMO]", "")
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
	p.stop()
	store, err := storage.Open(context.Background(), storage.Config{Dir: p.dir + "/data"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close(context.Background())
	encrypted := 0
	err = store.Read(context.Background(), func(tx *storage.Tx) error {
		return tx.Each(`select stanza from body`, nil, func(r *storage.Row) error {
			switch s := string(r.Bytes(0)); {
			case strings.Contains(s, "lark") || strings.Contains(s, "nightingale"):
				t.Errorf("this is not encrypted: %s", s)
			case strings.Contains(s, "eu.siacs.conversations.axolotl"):
				encrypted++
			}
			return nil
		})
	})
	if err != nil || encrypted < 2 {
		t.Errorf("%d messages are encrypted, %v", encrypted, err)
	}
}

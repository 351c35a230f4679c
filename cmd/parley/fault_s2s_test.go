package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/xmpp/xmpptest"
)

// ferryKills is how often TestKilledBetweenServers kills a server.
const ferryKills = 40

// A ferry is a server and its one user, who talks to that of another one.
type ferry struct {
	*child
	host         string
	other        *ferry
	device       xmpptest.Device
	said         int
	acknowledged []string        // ids of its messages
	heard        map[string]bool // ids of the other one's
}

// TestKilledBetweenServers kills one of two servers, in turn, while their users talk, and nothing
// is archived: so what the one says and the other's device takes is mostly on no disk. Whatever was acknowledged
// to its sender has come in the end.
func TestKilledBetweenServers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	fromEnv(t, "FAULT_SEED", func(n uint64) { seed = n })
	t.Logf("FAULT_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 220))
	ports := freePorts(t, 2)
	a, b := newFerry(t, "a.example", ports[0], "b.example", ports[1]), newFerry(t, "b.example", ports[1], "a.example", ports[0])
	a.other, b.other = b, a
	for range ferryKills {
		a.meets()
		for end := time.Now().Add(time.Duration(20+rnd.IntN(300)) * time.Millisecond); time.Now().Before(end); {
			for _, f := range []*ferry{a, b} {
				f.talks(rnd)
			}
		}
		victim := []*ferry{a, b}[rnd.IntN(2)]
		victim.kill()
		victim.device.Drop()
		if rnd.IntN(2) == 0 { // the other side goes on for a while
			for range 20 {
				victim.other.talks(rnd)
			}
		}
		victim.start()
	}
	a.meets()
	for _, f := range []*ferry{a, b} {
		f.well(f.device.Sync())
		for _, id := range f.acknowledged {
			if !f.other.hearsSoon(id) {
				t.Errorf("%s was acknowledged and never came", id)
			}
		}
		if len(f.acknowledged) < 20*ferryKills {
			t.Errorf("too little happened to prove anything: %d were acknowledged to %s", len(f.acknowledged), f.host)
		}
	}
	t.Logf("acknowledged: %d and %d", len(a.acknowledged), len(b.acknowledged))
	if t.Failed() {
		t.Logf("a's log:\n%s\nb's log:\n%s", a.log, b.log)
	}
}

func newFerry(t *testing.T, host, addr, other, there string) *ferry {
	f := &ferry{child: newChild(t, "PARLEY_DOMAINS="+host, "PARLEY_S2S_LISTEN="+addr, "PARLEY_ARCHIVE_DEFAULT=never",
		"PARLEY_LIMITS_STRANGER_MESSAGES=0", "PARLEY_AUTH_ITERATIONS=4096"), host: host, heard: map[string]bool{}}
	route := fmt.Sprintf("[s2s_domains.%q]\nroute = [%q]\n", other, there)
	if err := os.WriteFile(filepath.Join(f.dir, "parley.toml"), []byte(route), 0o600); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.must("pw\n", "user", "add", "user@"+host)
	f.device = xmpptest.Device{
		Login: xmpptest.Login{User: "user", Password: "pw", Resource: "phone"}, SM: true,
		Handled: func(id string) { f.acknowledged = append(f.acknowledged, id) },
		Hear: func(h *xmpptest.Heard) {
			if h.Type == "error" {
				t.Errorf("%s: an error comes: %s", host, h.XML)
			}
			f.heard[h.ID] = true
		},
	}
	return f
}

func (f *ferry) well(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %v\n%s", f.host, err, f.log)
	}
}

// comes connects the user, unless they are connected.
func (f *ferry) comes() {
	f.t.Helper()
	if f.device.Online() {
		return
	}
	f.device.Options = xmpptest.Options{Addr: f.direct, Host: f.host, Direct: true,
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}}}
	_, err := f.device.Connect(true)
	f.well(err)
	f.well(f.device.Presence(0))
}

// meets connects both users, and waits until they hear each other.
func (f *ferry) meets() {
	f.t.Helper()
	for _, g := range []*ferry{f, f.other} {
		g.comes()
	}
	for _, g := range []*ferry{f, f.other} {
		if id := g.says(); !g.other.hearsSoon(id) {
			f.t.Fatalf("%s does not come to %s\n%s\n%s", id, g.other.host, g.log, g.other.log)
		}
	}
}

func (f *ferry) hearsSoon(id string) bool {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); !f.heard[id] && time.Now().Before(end); {
		for _, g := range []*ferry{f, f.other} {
			f.well(g.device.Take(2 * time.Millisecond))
		}
	}
	return f.heard[id]
}

func (f *ferry) says() string {
	f.said++
	id := fmt.Sprintf("%s-%d", f.host, f.said)
	f.t.Helper()
	f.well(f.device.Message(id, fmt.Sprintf("<message type='chat' id='%s' to='user@%s'><body>%s</body></message>", id, f.other.host, strings.Repeat("x", 50))))
	return id
}

// talks says some messages, or hears some, or asks what of them is handled.
func (f *ferry) talks(rnd *rand.Rand) {
	f.t.Helper()
	if !f.device.Online() {
		return
	}
	for range rnd.IntN(8) {
		f.says()
	}
	if rnd.IntN(3) == 0 {
		f.well(f.device.Nonza("<r xmlns='urn:xmpp:sm:3'/>"))
	}
	if rnd.IntN(20) == 0 {
		f.well(f.device.Sync())
	}
	if err := f.device.Take(time.Duration(1+rnd.IntN(4)) * time.Millisecond); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		f.well(err)
	}
}

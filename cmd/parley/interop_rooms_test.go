//go:build interop

package main

import (
	"strings"
	"testing"
)

// A roomServer is where people of localhost meet in rooms at conference.localhost: juliet,
// romeo and nurse. The same scripts run against Parley and against other servers, which show
// that a script asks for what clients get elsewhere.
type roomServer struct {
	name       string // parley, prosody or ejabberd
	port, cert string
}

// roomUsers are who can log in there; the password is "pw-" and the name.
var roomUsers = []string{"juliet", "romeo", "nurse"}

// forRooms runs a part of a test against every server that has rooms.
func forRooms(t *testing.T, run func(t *testing.T, s roomServer)) {
	t.Helper()
	for _, start := range []struct {
		name string
		at   func(*testing.T) roomServer
	}{{"parley", parleyRooms}, {"prosody", prosodyRooms}, {"ejabberd", ejabberdRooms}} {
		t.Run(start.name, func(t *testing.T) { run(t, start.at(t)) })
	}
}

func parleyRooms(t *testing.T) roomServer {
	p := startProcess(t, "")
	p.parley("pw-nurse\n", "user", "add", "nurse@localhost")
	return roomServer{"parley", p.port, p.cert()}
}

func prosodyRooms(t *testing.T) roomServer {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := localRooms(ca)
	return strangersRooms(t, startProsody(t, names, ca, nil, host), host)
}

func ejabberdRooms(t *testing.T) roomServer {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := localRooms(ca)
	return strangersRooms(t, startEjabberd(t, names, ca, host), host)
}

// localRooms has a certificate that clients accept as it is, as Parley's first one.
func localRooms(ca *authority) vhost {
	cred := ca.issue("localhost", leaf{names: []string{"localhost", "conference.localhost"}, selfSigned: true})
	return vhost{domain: "localhost", cred: cred, sm: true, rooms: true}
}

func strangersRooms(t *testing.T, s *stranger, host vhost) roomServer {
	t.Helper()
	for _, name := range roomUsers {
		s.account(t, name, "localhost")
	}
	return roomServer{s.name, portOf(s.c2s), host.cred.cert}
}

// Other people's clients make rooms, meet in them, govern and leave them.
func TestInteropRooms(t *testing.T) {
	forRooms(t, func(t *testing.T, s roomServer) {
		for _, c := range []struct{ program, script string }{
			{"/usr/bin/python3", "slixmpp_rooms.py"}, {"/usr/bin/python3", "slixmpp_rooms_law.py"},
			{"/usr/bin/python3", "nbxmpp_rooms.py"}, {"node", "xmppjs_rooms.mjs"},
		} {
			t.Run(c.script, func(t *testing.T) {
				out := foreign(t, "", nil, c.program, script(t, c.script), s.port, s.cert, s.name)
				if !strings.Contains("\n"+out, "\nok\n") {
					t.Error(out)
				}
			})
		}
		t.Run("Profanity", func(t *testing.T) { meetInTerminals(t, s) })
	})
}

//go:build interop

package main

import (
	"strings"
	"testing"
)

// Other people's clients whose connection is cut go on with their sessions.
func TestInteropResumption(t *testing.T) {
	for _, c := range []struct{ program, script string }{
		{"/usr/bin/python3", "slixmpp_resume.py"}, {"/usr/bin/python3", "nbxmpp_resume.py"}, {"node", "xmppjs_resume.mjs"},
	} {
		t.Run(c.script, func(t *testing.T) {
			p := startProcess(t, "")
			out := foreign(t, "", nil, c.program, script(t, c.script), p.port, p.cert())
			if !strings.Contains(out, "ok") {
				t.Error(out)
			}
		})
	}
}

// A client that was given a token comes back with it, and without its password.
func TestInteropTokens(t *testing.T) {
	p := startProcess(t, "")
	out := foreign(t, "", nil, "node", script(t, "xmppjs_tokens.mjs"), p.port)
	if !strings.Contains(out, "ok") {
		t.Error(out)
	}
	devices := p.parley("", "session", "devices", "juliet@localhost")
	if !strings.Contains(devices, "xmpp.js") {
		t.Errorf("the operator does not see the client:\n%s", devices)
	}
}

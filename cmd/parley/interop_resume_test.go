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

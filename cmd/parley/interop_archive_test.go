//go:build interop

package main

import (
	"strings"
	"testing"
)

// Other people's clients read archives, and say what is kept in them.
func TestInteropArchive(t *testing.T) {
	for _, c := range []struct{ program, script string }{
		{"/usr/bin/python3", "slixmpp_archive.py"}, {"/usr/bin/python3", "nbxmpp_archive.py"}, {"node", "xmppjs_archive.mjs"},
	} {
		t.Run(c.script, func(t *testing.T) {
			p := startProcess(t, "")
			p.parley("pw-nurse\n", "user", "add", "nurse@localhost")
			out := foreign(t, "", nil, c.program, script(t, c.script), p.port, p.cert())
			if !strings.Contains(out, "ok") {
				t.Error(out)
			}
		})
	}
}

//go:build interop

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestInteropDino has two in windows who become contacts, encrypt for each other, send a picture,
// keep a room and show a face. Dino takes neither a port nor a certificate from anybody: the server is
// on the usual ports of a network that has nothing else, and its certificate among the system's.
func TestInteropDino(t *testing.T) {
	p := newProcess(t, "[c2s]\nlisten = [\"127.0.0.1:5222\"]\nlisten_tls = []\n[s2s]\nlisten = []\nlisten_tls = []\n[http]\nlisten_tls = [\"127.0.0.1:5443\"]\n[file_proxy]\nlisten = []\n[metrics]\nlisten = \"\"\n")
	enter := []string{"nsenter", "--net", "--mount"}
	p.through = []string{"unshare", "--net", "--mount"}
	if os.Getuid() != 0 {
		p.through, enter = append(p.through, "--map-root-user"), append(enter, "--user", "--preserve-credentials")
	}
	p.through = append(p.through, "sh", "-c", `ip link set lo up && exec "$@"`, "sh")
	p.start()
	p.parley("pw-juliet\n", "user", "add", "juliet@localhost")
	p.parley("pw-romeo\n", "user", "add", "romeo@localhost")
	shots, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	taken, hers := shooting(t), filepath.Join(t.TempDir(), "rose.png")
	foreign(t, "", nil, "convert", "-size", "200x200", "plasma:green-yellow", hers)
	enter = append(enter, "--target", strconv.Itoa(p.cmd.Process.Pid), "sh", "-c",
		`list=/etc/ssl/certs/ca-certificates.crt; cat $list "$0" >"$1" && mount --bind "$1" $list && shift && exec dbus-run-session -- /usr/bin/python3 -B "$@"`, p.cert())
	begins := func(who string) func() string {
		args := append(enter[1:len(enter):len(enter)], filepath.Join(p.dir, who+".crt"), script(t, "dino.py"), who, p.cert(), shots, hers)
		return begin(t, "", nil, enter[0], args...)
	}
	juliet, romeo := begins("juliet"), begins("romeo")
	for who, ends := range map[string]func() string{"juliet": juliet, "romeo": romeo} {
		if out := ends(); !strings.Contains(out, "ok") {
			t.Errorf("%s: %s", who, out)
		}
		taken("dino-"+who, 5000)
	}
	unreadable(t, p, 2, "thy father", "thy name", "rose.png")
}

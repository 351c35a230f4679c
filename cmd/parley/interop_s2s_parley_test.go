//go:build interop

package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A federated is a really started Parley with several domains, that talks to other servers.
type federated struct {
	*process
	s2s, s2sTLS string // addresses; s2sTLS is the one where TLS comes first
	accounts    map[string]bool
}

// federation says how one is set up.
type federation struct {
	s2s    string // lines for the table s2s
	tables string // more tables
	hosts  []vhost
}

// startFederated starts one, which asks this name server and believes this authority.
func startFederated(t *testing.T, names *nameServer, ca *authority, f federation) *federated {
	t.Helper()
	var domains []string
	var certs strings.Builder
	for _, h := range f.hosts {
		domains = append(domains, fmt.Sprintf("%q", h.domain))
		fmt.Fprintf(&certs, "[certificates.%q]\ncert = %q\nkey = %q\n", h.domain, h.cred.cert, h.cred.key)
	}
	ports := freePorts(t, 3)
	p := &federated{s2s: ports[0], s2sTLS: ports[1], accounts: map[string]bool{}}
	// The port for clients is fixed too: who has been killed comes back where it was.
	p.process = newProcess(t, fmt.Sprintf(`domains = [%s]
[c2s]
listen = [%q]
listen_tls = []
[file_proxy]
listen = []
[http]
listen_tls = []
[metrics]
listen = ""
[limits]
stranger_messages = 0
[log]
level = "debug"
[s2s]
listen = [%q]
listen_tls = [%q]
dns = [%q]
ca = [%q]
%s
%s
%s`, strings.Join(domains, ", "), ports[2], p.s2s, p.s2sTLS, names.addr, ca.file, f.s2s, f.tables, certs.String()))
	p.start()
	t.Cleanup(func() { // what no server that counts right says of another
		if line := regexp.MustCompile(`.*more is acknowledged than was sent.*`).FindString(p.log.String()); line != "" {
			t.Error(line)
		}
	})
	return p
}

// comes logs a user in, with presence, and makes the account if need be.
func (p *federated) comes(t testing.TB, name, domain string) *citizen {
	t.Helper()
	if jid := name + "@" + domain; !p.accounts[jid] {
		cmd := exec.Command(binary(p.t), "user", "add", jid)
		cmd.Dir, cmd.Stdin = p.dir, strings.NewReader("pw-"+name+"\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("parley user add %s: %v\n%s", jid, err, out)
		}
		p.accounts[jid] = true
	}
	c := enters(t, "127.0.0.1:"+p.port, name, domain)
	c.appears()
	return c
}

// at is one of its domains.
func (p *federated) at(domain string) home { return home{domain, p.comes} }

// crash ends it with SIGKILL.
func (p *federated) crash() {
	p.stopped = true
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
}

// logged wants a line in the log behind a mark.
func (p *federated) logged(t testing.TB, mark int, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(federationPatience); ; time.Sleep(20 * time.Millisecond) {
		if re.MatchString(p.log.String()[mark:]) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("Parley has not logged %q", pattern)
		}
	}
}

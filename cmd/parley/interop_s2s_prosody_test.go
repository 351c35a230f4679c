//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// prosodyModules is what its example configuration has, as far as a chat between servers
// touches it. dialback, s2s_bidi and smacks are a matter of each domain.
const prosodyModules = `"disco"; "roster"; "saslauth"; "tls"; "blocklist"; "ping"; "version"; "time"; "vcard_legacy"; "pep"; "carbons"; "posix";`

// startProsody starts Prosody with these domains. It believes certificates of the authority;
// of the domains in strict it wants them, with the others dialback will do.
func startProsody(t testing.TB, names *nameServer, ca *authority, strict []string, hosts ...vhost) *stranger {
	t.Helper()
	s := newStranger(t, "prosody", "prosody", "prosody")
	var b strings.Builder
	fmt.Fprintf(&b, `pidfile = "%s/prosody.pid"
data_path = "%s/data"
certificates = "%s"
plugin_paths = {}
log = { debug = "*console" }
interfaces = { "127.0.0.1" }
c2s_ports = { %s }
s2s_ports = { %s }
s2s_direct_tls_ports = { %s }
authentication = "internal_hashed"
storage = "internal"
use_ipv6 = false
modules_enabled = { %s }
smacks_s2s_resend = true
smacks_max_queue_size = 5000
s2s_require_encryption = true
s2s_secure_auth = false
s2s_secure_domains = { %s }
`, s.dir, s.dir, ca.dir, portOf(s.c2s), portOf(s.s2s), portOf(s.s2sTLS), prosodyModules, quoted(strict))
	// The resolver is told not to think that a name server on loopback is a mistake, and to
	// forget.
	fmt.Fprintf(&b, `unbound = { resolvconf = false; hoststxt = false; forward = { "127.0.0.1@%s" };
	options = { ["do-not-query-localhost:"] = "no"; ["cache-max-ttl:"] = "0"; ["cache-max-negative-ttl:"] = "0"; ["infra-host-ttl:"] = "0" } }
s2s_ssl = { cafile = "%s" }
s2s_direct_tls_ssl = { cafile = "%s" }
`, names.port(), ca.file, ca.file)
	for _, h := range hosts {
		var more []string
		for name, on := range map[string]bool{"dialback": !h.noDialback, "s2s_bidi": h.bidi, "smacks": h.sm} {
			if on {
				more = append(more, name)
			}
		}
		// The first is for what begins in clear, the second, whose key has the same name, for
		// what begins with TLS.
		fmt.Fprintf(&b, "VirtualHost \"%[1]s\"\n\tmodules_enabled = { %[2]s }\n\tssl = { certificate = \"%[3]s\"; key = \"%[4]s\" }\n\tcertificate = \"%[3]s\"\n",
			h.domain, quoted(more), h.cred.cert, h.cred.key)
	}
	for _, h := range hosts {
		if h.rooms {
			fmt.Fprintf(&b, "Component \"conference.%[1]s\" \"muc\"\n\tmodules_enabled = { \"dialback\"; \"muc_mam\" }\n\tssl = { certificate = \"%[2]s\"; key = \"%[3]s\" }\n\tcertificate = \"%[2]s\"\n",
				h.domain, h.cred.cert, h.cred.key)
		}
	}
	config := s.write("prosody.cfg.lua", b.String())
	s.register = func(name, domain, password string) error {
		out, err := s.command(nil, "prosodyctl", "--config", config, "register", name, domain, password).CombinedOutput()
		if err != nil {
			return fmt.Errorf("prosodyctl register %s %s: %w\n%s", name, domain, err, out)
		}
		return nil
	}
	s.start(time.Minute, nil, "prosody", "-F", "--config", config)
	return s
}

// quoted is the content of a table of strings in Lua.
func quoted(list []string) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%q; ", s)
	}
	return b.String()
}

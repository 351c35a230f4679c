package main

import (
	"math/big"
	"strings"
	"syscall"
	"testing"
)

// hup asks for a reload and waits until the log says what came of it.
func (c *child) hup(says string) {
	c.t.Helper()
	before := strings.Count(c.log.String(), says)
	c.cmd.Process.Signal(syscall.SIGHUP)
	eventually(c.t, func() bool { return strings.Count(c.log.String(), says) > before },
		func() string { return "the log has no " + says + ":\n" + c.log.String() })
}

func (c *child) serial() *big.Int {
	return dialTLS(c.t, c.direct, "localhost").certificate().SerialNumber
}

// TestReload changes what is on disk under a running server.
func TestReload(t *testing.T) {
	const certs = "[certificates.localhost]\ncert = \"a.pem\"\nkey = \"a.key\"\n"
	c := newChild(t)
	first := certificate(t, c, "a", "localhost")
	c.write("parley.toml", certs)
	c.start()
	c.must("pw\n", "user", "add", "juliet")
	if got := c.serial(); got.Cmp(first) != 0 {
		t.Errorf("the certificate is %s, not %s", got, first)
	}
	stays := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "stays")

	// The same files with another certificate.
	second := certificate(t, c, "a", "localhost")
	c.hup("msg=reloaded")
	if got := c.serial(); got.Cmp(second) != 0 {
		t.Errorf("after a reload the certificate is %s, not %s", got, second)
	}

	// Other files, a limit and the log's level; and something that has to wait.
	third := certificate(t, c, "b", "localhost")
	c.write("parley.toml", "[c2s]\nmax_stanza = 20000\nlisten_tls = [\"127.0.0.1:1\"]\n[limits]\nresources = 1\nmemory = 64\n[log]\nlevel = \"debug\"\n"+strings.ReplaceAll(certs, "a.", "b."))
	c.hup("a changed setting needs a restart\" key=limits.memory")
	if got := c.serial(); got.Cmp(third) != 0 {
		t.Errorf("after a reload the certificate is %s, not %s", got, third)
	}
	if strings.Contains(c.log.String(), "key=limits.resources") || strings.Contains(c.log.String(), "key=certificates") {
		t.Errorf("the log names settings that were taken over:\n%s", c.log)
	}
	fresh := dialTLS(t, c.direct, "localhost")
	fresh.auth("juliet", "pw")
	fresh.open()
	contains(t, fresh.expect("</stream:features>"), "<max-bytes>20000</max-bytes>")
	fresh.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
	contains(t, fresh.expect("</iq>"), "resource-constraint") // limits.resources is 1
	stays.ping()                                              // open sessions stay

	// A broken file, then one that names a broken certificate: the old stays in force.
	c.write("parley.toml", "[c2s]\nmax_stanza = 30000\nqueue = \"x\"\n"+certs)
	c.hup("the old one stays in force\" error=\"parley.toml:3: c2s.queue: this must be a whole number")
	contains(t, c.fails(exitConfig, "", "reload"), "parley.toml:3: c2s.queue")
	c.write("parley.toml", "[c2s]\nmax_stanza = 30000\n"+certs)
	c.write("a.pem", "nothing")
	c.hup("certificate of localhost: a.pem has no certificate in PEM form")
	contains(t, c.fails(exitFailed, "", "reload"), "a.pem has no certificate in PEM form")
	c.waitLog("msg=\"the configuration was not reloaded; the old one stays in force\" by=\"the operator\"")
	if got := c.serial(); got.Cmp(third) != 0 {
		t.Errorf("after a failed reload the certificate is %s, not %s", got, third)
	}
	cl := dialTLS(t, c.direct, "localhost")
	cl.auth("juliet", "pw")
	cl.open()
	contains(t, cl.expect("</stream:features>"), "<max-bytes>20000</max-bytes>")

	// The command does the same as the signal.
	certificate(t, c, "a", "localhost")
	c.write("parley.toml", "[limits]\nmemory = 64\n"+certs)
	contains(t, c.must("", "reload"), "reloaded\n", "limits.memory has changed and needs a restart\n")
	c.waitLog("msg=reloaded by=\"the operator\" need_restart=limits.memory")
}

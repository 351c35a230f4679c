//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"
)

// A way is how two servers find each other and show who they are. Each has domains of its own,
// so that no stream serves two.
type way struct {
	name string
	// What is different from certificates of the authority on both sides, STARTTLS, and nothing
	// else:
	other  bool // certificates of another authority, which nobody believes
	direct bool // TLS first: nothing but _xmpps-server is announced (XEP-0368 §3)
	bidi   bool // one stream for both directions (XEP-0288)
	sm     bool // stream management
	strict bool // Parley wants a valid certificate of the other
	chain  leaf // what the certificates are, where they are not plain

	prosody  [2]wayLog // what Prosody logs, where Parley begins and where Prosody does
	ejabberd [2]wayLog
	lacking  string // who does not have it: its cell in the table of docs/federation-peers.md
}

// A wayLog is what a stranger must and must not log; %[1]s is Parley's domain, %[2]s its own.
type wayLog struct{ must, never []string }

// The lines in which strangers say how a stream was authenticated.
const (
	prosodyInExternal  = `Accepting SASL EXTERNAL identity from %[1]s\n`
	prosodyOutExternal = `SASL EXTERNAL with %[1]s succeeded`
	prosodyIn          = `Incoming s2s connection %[1]s->%[2]s complete`
	prosodyOut         = `Outgoing s2s connection %[2]s->%[1]s complete`
	ejabberdIn         = `Accepted inbound s2s EXTERNAL authentication %[1]s -> %[2]s `
	ejabberdOut        = `Accepted outbound s2s EXTERNAL authentication %[2]s -> %[1]s `
	ejabberdInDB       = `Accepted inbound s2s dialback authentication %[1]s -> %[2]s `
	ejabberdOutDB      = `Accepted outbound s2s dialback authentication %[2]s -> %[1]s `
)

func ways() []way {
	both := func(w wayLog) [2]wayLog { return [2]wayLog{w, w} }
	external := both(wayLog{must: []string{prosodyInExternal, prosodyOutExternal, prosodyIn, prosodyOut}})
	external2 := both(wayLog{must: []string{ejabberdIn, ejabberdOut}, never: []string{ejabberdInDB, ejabberdOutDB}})
	return []way{
		{name: "external", strict: true, prosody: external, ejabberd: external2},
		{name: "dialback", other: true,
			prosody:  both(wayLog{must: []string{prosodyIn, prosodyOut}, never: []string{prosodyInExternal, prosodyOutExternal}}),
			ejabberd: both(wayLog{must: []string{ejabberdInDB, ejabberdOutDB}, never: []string{ejabberdIn, ejabberdOut}})},
		{name: "direct", strict: true, direct: true, prosody: external, ejabberd: external2},
		{name: "direct-dialback", other: true, direct: true,
			prosody:  both(wayLog{must: []string{prosodyIn, prosodyOut}, never: []string{prosodyInExternal, prosodyOutExternal}}),
			ejabberd: both(wayLog{must: []string{ejabberdInDB, ejabberdOutDB}})},
		{name: "bidi", strict: true, bidi: true, lacking: "ejabberd",
			prosody: [2]wayLog{
				{must: []string{`Requested bidirectional stream`, prosodyInExternal}, never: []string{prosodyOut}},
				{must: []string{`Requesting bidirectional stream`, prosodyOutExternal}, never: []string{prosodyIn}},
			}},
		{name: "sm", strict: true, sm: true, lacking: "ejabberd",
			prosody: both(wayLog{must: []string{`Received\[s2sin\]: <enable .*urn:xmpp:sm:3`, `Received\[s2sout\]: <enabled .*urn:xmpp:sm:3`, `Received\[s2sout\]: <a `}})},
		{name: "bidi-sm", strict: true, bidi: true, sm: true, lacking: "ejabberd",
			prosody: [2]wayLog{
				{must: []string{`Requested bidirectional stream`, `Received\[s2sin\]: <enable .*urn:xmpp:sm:3`}, never: []string{prosodyOut}},
				{must: []string{`Requesting bidirectional stream`, `Received\[s2sout\]: <enabled .*urn:xmpp:sm:3`}, never: []string{prosodyIn}},
			}},
	}
}

// directions are who begins.
var directions = [2]string{"out", "in"} // seen from Parley

func (w way) domain(direction, server string) string {
	return fmt.Sprintf("%s-%s.%s.example", w.name, direction, server)
}

// hosts are a server's domains for all ways.
func wayHosts(server string, ca, other *authority) (hosts []vhost) {
	for _, w := range ways() {
		for _, d := range directions {
			from := ca
			if w.other {
				from = other
			}
			domain := w.domain(d, server)
			hosts = append(hosts, vhost{domain: domain, cred: from.issue(domain, w.chain), bidi: w.bidi, sm: w.sm})
		}
	}
	return hosts
}

// announceWays has the name server tell where a server's domains are.
func announceWays(names *nameServer, server, s2s, s2sTLS string) {
	for _, w := range ways() {
		for _, d := range directions {
			if w.direct {
				names.serves(w.domain(d, server), "xmpps-server", s2sTLS)
			} else {
				names.serves(w.domain(d, server), "xmpp-server", s2s)
			}
		}
	}
}

// strictTables are Parley's settings for the domains of other servers of which it wants
// certificates.
func strictTables(servers ...string) string {
	var b strings.Builder
	for _, w := range ways() {
		for _, server := range servers {
			for _, d := range directions {
				if w.strict {
					fmt.Fprintf(&b, "[s2s_domains.%q]\nrequire_certificate = true\n", w.domain(d, server))
				}
			}
		}
	}
	return b.String()
}

// Parley and each stranger get along in every way that the stranger has, whoever begins, and two
// Parleys in all ways.
func TestInteropFederation(t *testing.T) {
	names, ca, other := startNames(t), newAuthority(t, "Test CA"), newAuthority(t, "Another CA")
	var strict []string
	for _, w := range ways() {
		for _, d := range directions {
			if w.strict {
				strict = append(strict, w.domain(d, "parley"))
			}
		}
	}
	prosody := startProsody(t, names, ca, strict, wayHosts("prosody", ca, other)...)
	ejabberd := startEjabberd(t, names, ca, wayHosts("ejabberd", ca, other)...)
	parley := startFederated(t, names, ca, federation{hosts: wayHosts("parley", ca, other), tables: strictTables("prosody", "ejabberd", "parley2")})
	parley2 := startFederated(t, names, ca, federation{hosts: wayHosts("parley2", ca, other), tables: strictTables("parley")})
	announceWays(names, "prosody", prosody.s2s, prosody.s2sTLS)
	announceWays(names, "ejabberd", ejabberd.s2s, ejabberd.s2sTLS)
	announceWays(names, "parley", parley.s2s, parley.s2sTLS)
	announceWays(names, "parley2", parley2.s2s, parley2.s2sTLS)
	for _, w := range ways() {
		for i, d := range directions {
			for _, s := range []struct {
				*stranger
				log [2]wayLog
			}{{prosody, w.prosody}, {ejabberd, w.ejabberd}} {
				if w.lacking == s.name {
					continue // the table says so, and TestInteropFederationPeers that it is true
				}
				t.Run(w.name+"/"+d+"/"+s.name, func(t *testing.T) {
					mark := s.mark()
					begins(t, d, parley.at(w.domain(d, "parley")), s.at(w.domain(d, s.name)))
					s.goes(t, mark, s.log[i], w.domain(d, "parley"), w.domain(d, s.name))
				})
			}
			t.Run(w.name+"/"+d+"/parley", func(t *testing.T) {
				from, to := parley, parley2
				if d == "in" {
					from, to = to, from
				}
				mark := len(from.log.String())
				begins(t, d, parley.at(w.domain(d, "parley")), parley2.at(w.domain(d, "parley2")))
				from.logged(t, mark, w.parleyLine(to))
			})
		}
	}
	for _, server := range []string{"prosody", "ejabberd", "parley2"} {
		t.Run("commands/"+server, func(t *testing.T) { operatorSees(t, parley, server) })
	}
}

// operatorSees asks the server about domains that have been reached, as its operator would.
func operatorSees(t *testing.T, p *federated, server string) {
	t.Helper()
	var external, dialback way
	for _, w := range ways() {
		switch w.name {
		case "external":
			external = w
		case "dialback":
			dialback = w
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"check", external.domain("out", server)}, []string{"_xmpp-server._tcp." + external.domain("out", server), "TLS 1.3", "Test CA"}},
		{[]string{"check", dialback.domain("out", server)}, []string{"TLS 1.3", "Another CA", "dialback"}},
		{[]string{"show", external.domain("out", server)}, []string{external.domain("out", "parley")}},
		{[]string{"list"}, []string{server + ".example"}},
		{[]string{"explain", "juliet@" + external.domain("out", "parley"), external.domain("out", server)}, []string{"certificate"}},
		{[]string{"explain", "juliet@" + dialback.domain("out", "parley"), dialback.domain("out", server)}, []string{"dialback"}},
	} {
		out := p.parley("", append([]string{"s2s"}, c.args...)...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("parley s2s %s does not say %q:\n%s", strings.Join(c.args, " "), want, out)
			}
		}
	}
}

// parleyLine is what a Parley logs that has reached another this way.
func (w way) parleyLine(to *federated) string {
	port, proof := portOf(to.s2s), "believed_by=pkix believes_us_by=certificate"
	if w.direct {
		port = portOf(to.s2sTLS)
	}
	if w.other {
		proof = "believed_by=dns believes_us_by=dialback"
	}
	return `msg="connected to a server" .*domain=` + w.name + `-.* target=\S*localhost:` + port + ` .*` + proof + ` bidi=true sm=true`
}

// begins has people of both places get along, with the one who begins as the direction says.
func begins(t *testing.T, direction string, ours, theirs home) {
	t.Helper()
	if direction == "in" {
		ours, theirs = theirs, ours
	}
	getAlong(t, ours, theirs)
}

// goes checks what a stranger has logged of a way.
func (s *stranger) goes(t *testing.T, mark int, want wayLog, ours, theirs string) {
	t.Helper()
	if len(want.must) == 0 {
		t.Fatalf("nothing is known of how %s says that it went this way", s.name)
	}
	for _, line := range want.must {
		s.logged(t, mark, wayLine(line, ours, theirs))
	}
	for _, line := range want.never {
		s.notLogged(t, mark, wayLine(line, ours, theirs))
	}
}

func wayLine(line, ours, theirs string) string {
	return strings.NewReplacer("%[1]s", ours, "%[2]s", theirs).Replace(line)
}

//go:build interop

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A blemish is what can be wrong with a certificate.
type blemish struct {
	name    string
	leaf    leaf
	other   bool   // of another authority
	parley  string // what Parley's log says of it
	prosody string // what Prosody says of it
}

func blemishes() []blemish {
	return []blemish{
		{name: "expired", leaf: leaf{expired: true}, parley: `expired`, prosody: "has expired"},
		{name: "selfsigned", leaf: leaf{selfSigned: true}, parley: `self-signed`, prosody: "is "},
		{name: "otherca", other: true, parley: `authority is not known here`, prosody: "is not trusted"},
		{name: "wronghost", leaf: leaf{names: []string{"elsewhere.example"}}, parley: `elsewhere\.example`, prosody: "is not valid for this name"},
	}
}

// blemished are a server's domains, one for each.
func blemished(server string, ca, other *authority) (hosts []vhost) {
	for _, b := range blemishes() {
		from, domain := ca, b.name+"."+server+".example"
		if b.other {
			from = other
		}
		hosts = append(hosts, vhost{domain: domain, cred: from.issue(domain, b.leaf)})
	}
	return hosts
}

// strictS2S are settings under which nothing but a certificate counts, and who cannot be
// reached is given up soon.
const strictS2S = "require_certificate = true\ngive_up = \"3s\"\n"

// With certificates required, a server whose certificate is expired, self-signed, of an
// authority nobody knows, or somebody else's is refused, whoever begins: nothing arrives, the
// sender gets an error, and the log names the domain and the reason.
func TestInteropFederationBadCertificates(t *testing.T) {
	names, ca, other := startNames(t), newAuthority(t, "Test CA"), newAuthority(t, "Another CA")
	good := func(domain string) vhost { return vhost{domain: domain, cred: ca.issue(domain, leaf{})} }
	prosody := startProsody(t, names, ca, nil, append(blemished("prosody", ca, other), good("strict.prosody.example"))...)
	parley := startFederated(t, names, ca, federation{s2s: strictS2S, hosts: append(blemished("parley", ca, other), good("strict.parley.example"))})
	parley2 := startFederated(t, names, ca, federation{s2s: "give_up = \"3s\"\n", hosts: blemished("parley2", ca, other)})
	for name, addr := range map[string]string{"prosody": prosody.s2s, "parley": parley.s2s, "parley2": parley2.s2s} {
		names.serves("strict."+name+".example", "xmpp-server", addr)
		for _, b := range blemishes() {
			names.serves(b.name+"."+name+".example", "xmpp-server", addr)
		}
	}
	strict := parley.at("strict.parley.example")
	for _, b := range blemishes() {
		for name, comes := range map[string]func(t testing.TB, name, domain string) *citizen{"prosody": prosody.comes, "parley2": parley2.comes} {
			bad := home{b.name + "." + name + ".example", comes}
			t.Run(b.name+"/out/"+name, func(t *testing.T) {
				mark := len(parley.log.String())
				refused(t, strict, bad)
				parley.logged(t, mark, fmt.Sprintf(`level=(WARN|INFO|ERROR) .*%s.*(%s)|level=(WARN|INFO|ERROR) .*(%[2]s).*%[1]s`, strings.ReplaceAll(bad.domain, ".", `\.`), b.parley))
			})
			t.Run(b.name+"/in/"+name, func(t *testing.T) {
				mark := len(parley.log.String())
				refused(t, bad, strict)
				parley.logged(t, mark, fmt.Sprintf(`level=(WARN|INFO|ERROR) .*%s.*(%s)|level=(WARN|INFO|ERROR) .*(%[2]s).*%[1]s`, strings.ReplaceAll(bad.domain, ".", `\.`), b.parley))
			})
		}
	}
}

// refused has somebody write to and ask somebody where the servers do not believe each other.
func refused(t *testing.T, from, to home) {
	t.Helper()
	juliet, romeo := from.welcome(t, "juliet"), to.welcome(t, "romeo")
	id, ask := juliet.id(), juliet.id()
	juliet.says("<message type='chat' to='%s' id='%s'><body>Is anybody there?</body></message>", romeo.jid.Bare(), id)
	juliet.says("<iq type='get' to='%s' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>", romeo.jid.Domain(), ask)
	for _, parts := range [][]string{{"<message", "id='" + id + "'"}, {"<iq", "id='" + ask + "'"}} {
		st := juliet.hears(append(parts, "type='error'", romeo.jid.Domain()+"'")...)
		if !strings.Contains(st.String(), "remote-server-") && !strings.Contains(st.String(), "not-authorized") {
			t.Errorf("an error of another kind: %s", st)
		}
	}
	if st := romeo.hearsWithin(300*time.Millisecond, "Is anybody there"); st != nil {
		t.Errorf("it has arrived: %s", st)
	}
	juliet.leaves()
	romeo.leaves()
}

// Where the other side wants a certificate that Parley does not have, the sender gets an error,
// and the log says what the other side has said.
func TestInteropFederationOurBadCertificate(t *testing.T) {
	names, ca, other := startNames(t), newAuthority(t, "Test CA"), newAuthority(t, "Another CA")
	var strict []string
	for _, b := range blemishes() {
		strict = append(strict, b.name+".parley.example")
	}
	prosody := startProsody(t, names, ca, strict, vhost{domain: "prosody.example", cred: ca.issue("prosody.example", leaf{})})
	parley := startFederated(t, names, ca, federation{s2s: "give_up = \"3s\"\n", hosts: blemished("parley", ca, other)})
	names.serves("prosody.example", "xmpp-server", prosody.s2s)
	for _, b := range blemishes() {
		domain := b.name + ".parley.example"
		names.serves(domain, "xmpp-server", parley.s2s)
		t.Run(b.name, func(t *testing.T) {
			mark := len(parley.log.String())
			refused(t, parley.at(domain), prosody.at("prosody.example"))
			parley.logged(t, mark, `level=(WARN|INFO|ERROR) .*prosody\.example.*not-authorized.*`+b.prosody)
		})
	}
}

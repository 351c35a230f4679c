//go:build interop

package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"regexp"
	"testing"
)

// Two domains of Parley are known to another server by dialback on one stream (XEP-0220 §2.6):
// the one that is there already serves the second domain as well. ejabberd is sent both on one.
// Prosody accepts that too, and then sends answers for the second domain to the first: it gets a
// stream for each. Strangers open one for each pair of domains themselves.
func TestInteropFederationMultiplex(t *testing.T) {
	names, ca, other := startNames(t), newAuthority(t, "Test CA"), newAuthority(t, "Another CA")
	hosts := func(server string) (list []vhost) {
		for _, domain := range []string{"one." + server + ".example", "two." + server + ".example"} {
			list = append(list, vhost{domain: domain, cred: other.issue(domain, leaf{})})
		}
		return list
	}
	prosody := startProsody(t, names, ca, nil, hosts("prosody")...)
	ejabberd := startEjabberd(t, names, ca, hosts("ejabberd")...)
	parley := startFederated(t, names, ca, federation{hosts: hosts("parley")})
	parley2 := startFederated(t, names, ca, federation{hosts: hosts("parley2")})
	for name, addr := range map[string]string{"prosody": prosody.s2s, "ejabberd": ejabberd.s2s, "parley": parley.s2s, "parley2": parley2.s2s} {
		names.serves("one."+name+".example", "xmpp-server", addr)
		names.serves("two."+name+".example", "xmpp-server", addr)
	}
	one, two := parley.at("one.parley.example"), parley.at("two.parley.example")
	t.Run("out/prosody", func(t *testing.T) {
		mark := prosody.mark()
		getAlong(t, one, prosody.at("one.prosody.example"))
		getAlong(t, two, prosody.at("one.prosody.example"))
		prosody.logged(t, mark, `Incoming s2s connection two\.parley\.example->one\.prosody\.example complete`)
		prosody.notLogged(t, mark, `connection one\.parley\.example->one\.prosody\.example is now authenticated for two\.parley\.example`)
	})
	t.Run("out/ejabberd", func(t *testing.T) {
		mark := ejabberd.mark()
		getAlong(t, one, ejabberd.at("one.ejabberd.example"))
		getAlong(t, two, ejabberd.at("one.ejabberd.example"))
		ejabberd.logged(t, mark, `dialback authentication two\.parley\.example -> one\.ejabberd\.example`)
		accepted := regexp.MustCompile(`\(tls\|(\S+)\) Accepted inbound s2s dialback authentication (?:one|two)\.parley\.example -> one\.ejabberd\.example`).
			FindAllStringSubmatch(ejabberd.log.String()[mark:], -1)
		if len(accepted) != 2 || accepted[0][1] != accepted[1][1] {
			t.Errorf("the two domains are on streams of their own: %q", accepted)
		}
	})
	t.Run("out/parley", func(t *testing.T) {
		getAlong(t, one, parley2.at("one.parley2.example"))
		getAlong(t, two, parley2.at("one.parley2.example"))
		getAlong(t, one, parley2.at("two.parley2.example"))
	})
	for _, s := range []*stranger{prosody, ejabberd} {
		t.Run("in/"+s.name, func(t *testing.T) {
			getAlong(t, s.at("two."+s.name+".example"), one)
			getAlong(t, s.at("one."+s.name+".example"), two)
		})
	}
}

// Two Parleys whose certificates are their own prove their domains by what stands in DNS, if
// that was validated (RFC 7673 §3); nothing else would do.
func TestInteropFederationDANE(t *testing.T) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	hosts := func(server string) (list []vhost) {
		for _, name := range []string{"good", "wrong", "unsigned"} {
			domain := name + "." + server + ".example"
			list = append(list, vhost{domain: domain, cred: ca.issue(domain, leaf{selfSigned: true})})
		}
		return list
	}
	start := func(server string) *federated {
		list := hosts(server)
		p := startFederated(t, names, ca, federation{s2s: strictS2S, hosts: list})
		names.believesKeys(t, list[0], p.s2s, list[0].cred, true)
		names.believesKeys(t, list[1], p.s2s, list[0].cred, true)
		names.believesKeys(t, list[2], p.s2s, list[2].cred, false)
		return p
	}
	parley, parley2 := start("parley"), start("parley2")
	getAlong(t, parley.at("good.parley.example"), parley2.at("good.parley2.example"))
	for _, name := range []string{"wrong", "unsigned"} {
		t.Run(name, func(t *testing.T) {
			refused(t, parley.at("good.parley.example"), parley2.at(name+".parley2.example"))
			refused(t, parley2.at(name+".parley2.example"), parley.at("good.parley.example"))
		})
	}
}

// believesKeys announces a domain at a host of its own, with the hash of the key of a
// certificate (RFC 6698 §2.1); signed says whether all of that was validated.
func (n *nameServer) believesKeys(t *testing.T, h vhost, addr string, cred credential, signed bool) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	at, srv := "host."+h.domain, "_xmpp-server._tcp."+h.domain
	tlsa := "_" + port + "._tcp." + at
	n.add(srv+" SRV 0 0 "+port+" "+at+".", at+" A "+host, fmt.Sprintf("%s TLSA 3 1 1 %x", tlsa, sha256.Sum256(cred.parsed.RawSubjectPublicKeyInfo)))
	if signed {
		n.sign(srv, at, tlsa)
	}
}

// What docs/federation-peers.md tells of the strangers is what they do here.
func TestInteropFederationPeers(t *testing.T) {
	names, ca := startNames(t), newAuthority(t, "Test CA")
	host := func(server string) vhost {
		return vhost{domain: server + ".example", cred: ca.issue(server+".example", leaf{}), bidi: true, sm: true}
	}
	prosody, ejabberd := startProsody(t, names, ca, nil, host("prosody")), startEjabberd(t, names, ca, host("ejabberd"))
	const (
		dialback = "urn:xmpp:features:dialback"
		bidi     = "urn:xmpp:features:bidi"
		caps     = "http://jabber.org/protocol/caps"
		sm       = "urn:xmpp:sm:2 urn:xmpp:sm:3"
	)
	for _, c := range []struct {
		*stranger
		certificate           string
		leaf                  leaf
		before, after, refuse string // the features before and after EXTERNAL; what it is refused with
	}{
		{prosody, "good", leaf{}, "EXTERNAL " + bidi + " " + dialback, caps + " " + dialback + " " + sm, ""},
		{prosody, "serverauth", leaf{serverOnly: true}, "EXTERNAL " + bidi + " " + dialback, caps + " " + dialback + " " + sm, ""},
		{prosody, "xmppnames", leaf{xmpp: true}, "EXTERNAL " + bidi + " " + dialback, caps + " " + dialback + " " + sm, ""},
		{prosody, "expired", leaf{expired: true}, bidi + " " + dialback, "", "unsupported-stanza-type"},
		{prosody, "selfsigned", leaf{selfSigned: true}, bidi + " " + dialback, "", "unsupported-stanza-type"},
		{prosody, "wronghost", leaf{names: []string{"elsewhere.example"}}, bidi + " " + dialback, "", "unsupported-stanza-type"},
		{prosody, "commonname", leaf{names: []string{"elsewhere.example"}, common: true}, bidi + " " + dialback, "", "unsupported-stanza-type"},
		{ejabberd, "commonname", leaf{names: []string{"elsewhere.example"}, common: true}, "EXTERNAL " + dialback, dialback, ""},
		{ejabberd, "good", leaf{}, "EXTERNAL " + dialback, dialback, ""},
		{ejabberd, "serverauth", leaf{serverOnly: true}, "EXTERNAL " + dialback, "", "unsupported certificate purpose"},
		{ejabberd, "xmppnames", leaf{xmpp: true}, "EXTERNAL " + dialback, "", "EOF"},
		{ejabberd, "expired", leaf{expired: true}, "EXTERNAL " + dialback, "", "certificate has expired"},
		{ejabberd, "selfsigned", leaf{selfSigned: true}, "EXTERNAL " + dialback, "", "Failed to get peer certificate"},
		{ejabberd, "wronghost", leaf{names: []string{"elsewhere.example"}}, "EXTERNAL " + dialback, "", "not-authorized"},
	} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/direct=%v", c.name, c.certificate, direct), func(t *testing.T) {
				domain, addr := c.certificate+".example", c.s2s
				if direct {
					addr = c.s2sTLS
				}
				p, features, err := callsBy(domain, ca.issue(domain, c.leaf), c.name+".example", addr, direct)
				if err != nil {
					t.Fatal(err)
				}
				defer p.conn.Close()
				if got := offered(features); got != c.before {
					t.Errorf("it offers %s, not %s", got, c.before)
				}
				features, err = p.external()
				var got string
				if err == nil {
					got = offered(features)
				}
				if (err == nil) != (c.refuse == "") || got != c.after || err != nil && !regexp.MustCompile(c.refuse).MatchString(err.Error()) {
					t.Errorf("EXTERNAL: %q and %v, not %q and %q", got, err, c.after, c.refuse)
				}
			})
		}
	}
}

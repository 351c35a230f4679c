//go:build interop

package main

import "testing"

// Prosody and ejabberd talk to each other through the test's name server: what fails here is
// the stage, and not Parley.
func TestInteropFederationStage(t *testing.T) {
	names, ca, other := startNames(t), newAuthority(t, "Test CA"), newAuthority(t, "Another CA")
	host := func(domain string, a *authority) vhost { return vhost{domain: domain, cred: a.issue(domain, leaf{})} }
	ejabberd := startEjabberd(t, names, ca, host("external.ejabberd.example", ca), host("dialback.ejabberd.example", other))
	prosody := startProsody(t, names, ca, []string{"external.ejabberd.example"},
		host("external.prosody.example", ca), host("dialback.prosody.example", other), host("tls.prosody.example", ca))
	for _, domain := range []string{"external", "dialback"} {
		names.serves(domain+".ejabberd.example", "xmpp-server", ejabberd.s2s)
		names.serves(domain+".prosody.example", "xmpp-server", prosody.s2s)
	}
	t.Run("EXTERNAL", func(t *testing.T) {
		was := ejabberd.mark()
		getAlong(t, prosody.at("external.prosody.example"), ejabberd.at("external.ejabberd.example"))
		ejabberd.logged(t, was, `Accepted inbound s2s EXTERNAL authentication external.prosody.example -> external.ejabberd.example`)
		ejabberd.logged(t, was, `Accepted outbound s2s EXTERNAL authentication external.ejabberd.example -> external.prosody.example`)
	})
	t.Run("dialback", func(t *testing.T) {
		was := ejabberd.mark()
		getAlong(t, ejabberd.at("dialback.ejabberd.example"), prosody.at("dialback.prosody.example"))
		ejabberd.logged(t, was, `Accepted inbound s2s dialback authentication dialback.prosody.example -> dialback.ejabberd.example`)
		ejabberd.logged(t, was, `Accepted outbound s2s dialback authentication dialback.ejabberd.example -> dialback.prosody.example`)
	})
}

package auth

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"parley/storage"
)

// The exchanges printed in RFC 5802 §5 and RFC 7677 §3, byte for byte.
func TestExamplesOfTheRFCs(t *testing.T) {
	for _, e := range []struct {
		hash                                                 Hash
		salt, nonce, first, challenge, final, serverSaysLast string
	}{{
		SHA1, "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j",
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
	}, {
		SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	}} {
		t.Run(string(e.hash), func(t *testing.T) {
			a, _ := open(t, Config{NoDowngradeHash: true})
			a.nonce = func() (string, error) { return e.nonce, nil }
			salt, _ := base64.StdEncoding.DecodeString(e.salt)
			key, err := derive(e.hash, "pencil", salt, 4096)
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			err = a.accounts.store.Write(ctx, func(tx *storage.Tx) error {
				_, err := a.accounts.CreateTx(tx, address("user"), []Credential{key})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			x := begin(t, a, "SCRAM-"+string(e.hash), channel(somewhere))
			out, done, err := x.Step(ctx, []byte(e.first))
			if err != nil || done || string(out) != e.challenge {
				t.Fatalf("got %q, %v, %v", out, done, err)
			}
			out, done, err = x.Step(ctx, []byte(e.final))
			if err != nil || !done || string(out) != e.serverSaysLast {
				t.Fatalf("got %q, %v, %v", out, done, err)
			}
			if x.Account().JID != address("user") {
				t.Errorf("logged in as %v", x.Account().JID)
			}
		})
	}
}

// The hash in XEP-0474 §6.3.
func TestDowngradeHash(t *testing.T) {
	s := announcement([]string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"}, []string{TLSServerEndPoint, TLSExporter})
	if got := base64.StdEncoding.EncodeToString(SHA1.sum(s)); got != "G6k/rBLDqgOhRRaCuuatSDFkJ08=" {
		t.Errorf("with bindings: %s (of %q)", got, s)
	}
	if got := string(announcement([]string{"b", "a"}, nil)); got != "a\x1eb" {
		t.Errorf("without bindings: %q", got)
	}
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := unbound(somewhere)
	c := &scramClient{hash: SHA512, name: "romeo", password: "pencil"}
	if _, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-512", ch)); err != nil {
		t.Fatal(err)
	}
	want := base64.StdEncoding.EncodeToString(SHA512.sum(announcement(a.Mechanisms(ch), nil)))
	if got := attribute(c.challenge, "h"); got != want {
		t.Errorf("h=%s, want %s", got, want)
	}
}

func TestEveryHashAndBinding(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for _, h := range hashes() {
		for _, binding := range []string{"", TLSExporter, TLSServerEndPoint} {
			ch := channel(somewhere)
			c := &scramClient{hash: h, name: "romeo", password: "pencil"}
			mechanism := "SCRAM-" + string(h)
			if binding != "" {
				mechanism += "-PLUS"
				c.flag, c.binding = "p="+binding, ch.binding(binding)
			}
			x := begin(t, a, mechanism, ch)
			out, err := c.login(context.Background(), x)
			if err != nil || !strings.HasPrefix(string(out), "v=") || x.Account().JID != address("romeo") {
				t.Errorf("%s %s: %q, %v, %v", mechanism, binding, out, x.Account(), err)
			}
		}
	}
}

// RFC 5802 §5.1: a mandatory extension that is not understood.
func TestRefusesMandatoryExtension(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for name, c := range map[string]*scramClient{
		"first": {first: func(m string) string { return strings.Replace(m, "n=romeo", "m=x,n=romeo", 1) }},
		"later": {first: func(m string) string { return m + ",m=x" }},
		"final": {final: func(m string) string { return m + ",m=x" }},
		"front": {final: func(m string) string { return "m=x," + m }},
	} {
		c.hash, c.name, c.password = SHA256, "romeo", "pencil"
		_, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", channel(somewhere)))
		if got := condition(t, err); got != NotAuthorized {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOptionalExtensionsAreIgnored(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	c := &scramClient{
		hash: SHA256, name: "romeo", password: "pencil",
		first: func(m string) string { return m + ",x=1,y=a=b" },
		final: func(m string) string { return m + ",z=19C6532F" },
	}
	if _, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", channel(somewhere))); err != nil {
		t.Error(err)
	}
}

// RFC 5802 §6: "y" from a client that saw no -PLUS although it was offered.
func TestRefusesHiddenChannelBinding(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ctx := context.Background()
	c := &scramClient{hash: SHA256, flag: "y", name: "romeo", password: "pencil"}
	_, err := c.login(ctx, begin(t, a, "SCRAM-SHA-256", channel(somewhere)))
	wantCondition(t, err, NotAuthorized)
	if _, err = c.login(ctx, begin(t, a, "SCRAM-SHA-256", unbound(somewhere))); err != nil {
		t.Errorf("y where no -PLUS was offered: %v", err)
	}
}

func TestChannelBindingMustFit(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	noEndPoint := ch
	noEndPoint.EndPoint = nil
	p := "p=" + TLSExporter
	for name, test := range map[string]struct {
		mechanism string
		ch        Channel
		client    scramClient
	}{
		"y with PLUS":              {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: "y"}},
		"p without PLUS":           {"SCRAM-SHA-256", ch, scramClient{flag: p, binding: ch.Exporter}},
		"a type not announced":     {"SCRAM-SHA-256-PLUS", noEndPoint, scramClient{flag: "p=" + TLSServerEndPoint}},
		"tls-unique":               {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: "p=tls-unique", binding: ch.Exporter}},
		"other data":               {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: p, binding: []byte("the channel to somebody else")}},
		"data of the other type":   {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: p, binding: ch.EndPoint}},
		"no data":                  {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: p}},
		"more data":                {"SCRAM-SHA-256-PLUS", ch, scramClient{flag: p, binding: append(slices.Clone(ch.Exporter), 0)}},
		"data where there is n":    {"SCRAM-SHA-256", ch, scramClient{binding: ch.Exporter}},
		"another header than sent": {"SCRAM-SHA-256", ch, scramClient{bindAs: "y,,"}},
	} {
		c := test.client
		c.hash, c.name, c.password = SHA256, "romeo", "pencil"
		_, err := c.login(context.Background(), begin(t, a, test.mechanism, test.ch))
		if got := condition(t, err); got != NotAuthorized {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
	}
}

// c= is compared byte for byte: another base64 of the same data is another text.
func TestBindingIsComparedByteForByte(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	c := &scramClient{hash: SHA256, name: "romeo", password: "pencil",
		authzid: "romeo@example.org", // the header is n,a=romeo@example.org, : 22 bytes, with padding
		final:   func(m string) string { return strings.Replace(m, "=,r=", ",r=", 1) }}
	_, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", channel(somewhere)))
	wantCondition(t, err, NotAuthorized)
	if err.(*Failure).Cause != refused("the channel binding differs: somebody may be in between").Cause {
		t.Errorf("refused for another reason: %v", err)
	}
}

func TestNonceAndProofMustFit(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for name, c := range map[string]*scramClient{
		"shorter nonce":  {final: func(m string) string { return m[:len(m)-1] }},
		"longer nonce":   {final: func(m string) string { return m + "x" }},
		"own nonce only": {final: func(m string) string { return m[:strings.Index(m, ",r=")] + ",r=rOprNGfwEbeRWgbNEkqO" }},
		"one bit":        {proof: func(p []byte) []byte { p[0] ^= 1; return p }},
		"last bit":       {proof: func(p []byte) []byte { p[len(p)-1] ^= 0x80; return p }},
		"short proof":    {proof: func(p []byte) []byte { return p[:len(p)-1] }},
		"long proof":     {proof: func(p []byte) []byte { return append(p, 0) }},
		"no proof":       {proof: func([]byte) []byte { return nil }},
		"other password": {password: "pencils"},
	} {
		if c.password == "" {
			c.password = "pencil"
		}
		c.hash, c.name = SHA256, "romeo"
		_, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", channel("2001:db8::1")))
		if got := condition(t, err); got != NotAuthorized {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
		a.lockout.addresses.Purge()
	}
}

func TestNoncesDiffer(t *testing.T) {
	a, _ := open(t, Config{})
	seen := map[string]bool{}
	for range 100 {
		x := begin(t, a, "SCRAM-SHA-1", channel(somewhere))
		out, _, err := x.Step(context.Background(), []byte("n,,n=romeo,r=same"))
		if err != nil {
			t.Fatal(err)
		}
		nonce := attribute(string(out), "r")
		if seen[nonce] || !strings.HasPrefix(nonce, "same") || len(nonce)-len("same") < 22 { // 128 bits in base64
			t.Fatalf("nonce %q", nonce)
		}
		seen[nonce] = true
	}
}

// RFC 5802 §5.1 (n=): the name is decoded, prepared, and then a localpart.
func TestNames(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "a=b,c", "pencil")
	create(t, a, "julia", "pencil")
	for name, want := range map[string]string{
		"a=3Db=2Cc":       "",
		"a=3db=2Cc":       MalformedRequest,
		"a=b":             MalformedRequest,
		"julia=":          MalformedRequest,
		"":                MalformedRequest,
		"JULIA":           "",
		"ju\u00ADlia":     "", // SASLprep maps the soft hyphen to nothing
		"\uFF4Aulia":      "", // and a full-width letter to ours
		"julia@other.org": NotAuthorized,
		"\u00AD":          NotAuthorized, // nothing is left
		"ju\u0007lia":     NotAuthorized,
		"julia\xff":       MalformedRequest,
		"\u06271":         NotAuthorized, // bidirectional text that is none
		"jul\u0000ia":     MalformedRequest,
	} {
		c := &scramClient{hash: SHA1, name: name, password: "pencil"}
		_, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-1", channel(somewhere)))
		if got := condition(t, err); got != want {
			t.Errorf("%q: %q, want %q (%v)", name, got, want, err)
		}
		a.lockout.addresses.Purge()
	}
}

// A foreign authorization identity opens nobody's session, in no mechanism.
func TestAuthzidIsOwnBareJIDOnly(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	create(t, a, "julia", "secret")
	for authzid, want := range map[string]string{
		"":                        "",
		"romeo@example.org":       "",
		"Romeo@EXAMPLE.org":       "",
		"julia@example.org":       InvalidAuthzid,
		"romeo":                   InvalidAuthzid,
		"example.org":             InvalidAuthzid,
		"romeo@example.org/phone": InvalidAuthzid,
		"romeo@other.org":         InvalidAuthzid,
		"@":                       InvalidAuthzid,
	} {
		x := begin(t, a, "SCRAM-SHA-256", channel(somewhere))
		c := &scramClient{hash: SHA256, authzid: authzid, name: "romeo", password: "pencil"}
		_, err := c.login(context.Background(), x)
		if got := condition(t, err); got != want {
			t.Errorf("SCRAM, %q: %q, want %q", authzid, got, want)
		}
		acc, got := tryPlain(t, a, channel(somewhere), authzid, "romeo", "pencil")
		if got != want {
			t.Errorf("PLAIN, %q: %q, want %q", authzid, got, want)
		}
		for _, acc := range []Account{acc, x.Account()} {
			if want == "" && acc.JID != address("romeo") || want != "" && acc != (Account{}) {
				t.Errorf("%q: logged in as %v", authzid, acc)
			}
		}
		a.lockout.addresses.Purge()
	}
}

func TestMalformedMessages(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for _, first := range []string{
		"", "n", "n,", "n,,", "n,,n=romeo", "n,,r=x,n=romeo", "x,,n=romeo,r=x", "p,,n=romeo,r=x", "p=,,n=romeo,r=x",
		"p=a b,,n=romeo,r=x", "n,romeo,n=romeo,r=x", "n,a=,n=romeo,r=x", "n,a==,n=romeo,r=x", "n,,n=romeo,r=",
		"n,,n=romeo,r=a b", "n,,n=romeo,r=\u00fc", "n,,n=romeo,r=x,", "n,,n=romeo,r=x,y", "n,,n=romeo,r=x,1=2",
		"n,,n=romeo,r=" + strings.Repeat("x", MaxNonce+1), "n,,n=" + strings.Repeat("x", MaxMessage) + ",r=x", "nn,,n=romeo,r=x",
	} {
		_, _, err := begin(t, a, "SCRAM-SHA-1", channel(somewhere)).Step(context.Background(), []byte(first))
		if got := condition(t, err); got != MalformedRequest {
			t.Errorf("%.40q: %q", first, got)
		}
		a.lockout.addresses.Purge()
	}
	for _, final := range []string{
		"", "c=biws", "c=biws,r=x", "r=x,c=biws,p=AAAA", "c=biws,r=x,p=A", "c=biws,r=x,p=AA\nAA", "c=biws,p=AAAA",
		"c=biws,r=x,p=AAAA,x=y", "c=biws,r=x,q,p=AAAA", "p=AAAA", "c=biws,r=x,p=AAAA\x00", "c=biws,r=x,p=AB==",
	} {
		x := begin(t, a, "SCRAM-SHA-1", channel(somewhere))
		if _, _, err := x.Step(context.Background(), []byte("n,,n=romeo,r=x")); err != nil {
			t.Fatal(err)
		}
		_, _, err := x.Step(context.Background(), []byte(final))
		if got := condition(t, err); got != MalformedRequest {
			t.Errorf("%.40q: %q", final, got)
		}
		a.lockout.addresses.Purge()
		_, _, err = x.Step(context.Background(), []byte("c=biws,r=x,p=AAAA"))
		wantCondition(t, err, MalformedRequest) // an exchange that is over stays over
	}
}

// slixmpp 1.8.5 and later, without a channel binding that TLS 1.3 has.
func TestPlusByNameOnly(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	c := &scramClient{hash: SHA256, name: "romeo", password: "pencil"}
	if _, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256-PLUS", channel(somewhere))); err != nil {
		t.Errorf("n with -PLUS: %v", err)
	}
}

func TestSwitchedOffChannelBinding(t *testing.T) {
	a, _ := open(t, Config{NoChannelBinding: true})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	if slices.ContainsFunc(a.Mechanisms(ch), isPlus) || a.Bindings(ch) != nil {
		t.Errorf("offered: %v, %v", a.Mechanisms(ch), a.Bindings(ch))
	}
	c := &scramClient{hash: SHA256, flag: "y", name: "romeo", password: "pencil"}
	if _, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", ch)); err != nil {
		t.Errorf("y: %v", err)
	}
}

// In clear there is SCRAM where the operator allows it, and never PLAIN.
func TestClearOnlyWhereAllowed(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	if got := a.Mechanisms(Channel{Host: "example.com"}); got != nil {
		t.Errorf("in clear: %v", got)
	}
	ch := Channel{Clear: true, Host: "example.com", Peer: channel(somewhere).Peer}
	if got := a.Mechanisms(ch); len(got) != 3 || slices.Contains(got, plain) {
		t.Errorf("in clear, allowed: %v", got)
	}
	_, err := a.Start(context.Background(), plain, ch, []string{plain})
	wantCondition(t, err, EncryptionRequired)
}

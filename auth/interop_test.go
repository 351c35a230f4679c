package auth

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"

	xdgscram "github.com/xdg-go/scram"
	"mellium.im/sasl"
)

// The clients of two libraries, over TLS 1.2 and 1.3, with and without channel binding.
func TestOtherClients(t *testing.T) {
	a, c := open(t, Config{Plain: true})
	create(t, a, "romeo", "p\u00e9ncil")
	create(t, a, "we,ird=name", "pencil")
	certs := openCerts(t, c, HostCert{Host: host})
	side := certs.Server(TLSOptions{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := trusting(certs, host, c)
		cfg.MaxVersion = version
		conn, ch, err := dial(t, side, cfg)
		if err != nil {
			t.Fatal(err)
		}
		state := conn.ConnectionState()
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Run("xdg-go", func(t *testing.T) { xdg(t, a, ch, state) })
			t.Run("mellium", func(t *testing.T) { mellium(t, a, ch, state) })
		})
	}
}

func xdg(t *testing.T, a *Auth, ch Channel, state tls.ConnectionState) {
	exporter, err := xdgscram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	endPoint, err := xdgscram.NewTLSServerEndpointBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	for hash, generator := range map[Hash]xdgscram.HashGeneratorFcn{SHA1: xdgscram.SHA1, SHA256: xdgscram.SHA256, SHA512: xdgscram.SHA512} {
		client, err := generator.NewClient("romeo", "p\u00e9ncil", "")
		if err != nil {
			t.Fatal(err)
		}
		weird, err := generator.NewClient("we,ird=name", "pencil", "we,ird=name@"+host)
		if err != nil {
			t.Fatal(err)
		}
		for name, conv := range map[string]*xdgscram.ClientConversation{
			"":             client.NewConversation(),
			" weird":       weird.NewConversation(),
			"-PLUS":        client.NewConversationWithChannelBinding(exporter),
			"-PLUS server": client.NewConversationWithChannelBinding(endPoint),
			"-PLUS weird":  weird.NewConversationWithChannelBinding(exporter),
		} {
			mechanism, _, _ := strings.Cut("SCRAM-"+string(hash)+name, " ")
			x := begin(t, a, mechanism, ch)
			converse(t, x, func(challenge []byte) ([]byte, error) {
				out, err := conv.Step(string(challenge))
				return []byte(out), err
			})
			if !conv.Valid() || x.Account().ID == 0 {
				t.Errorf("%s%s: valid %v, %v", hash, name, conv.Valid(), x.Account())
			}
		}
	}
}

func mellium(t *testing.T, a *Auth, ch Channel, state tls.ConnectionState) {
	for _, m := range []sasl.Mechanism{sasl.ScramSha1, sasl.ScramSha256, sasl.ScramSha1Plus, sasl.ScramSha256Plus, sasl.Plain} {
		client := sasl.NewClient(m,
			sasl.Credentials(func() (user, pass, identity []byte) { return []byte("romeo"), []byte("p\u00e9ncil"), nil }),
			sasl.TLSState(state), sasl.RemoteMechanisms(a.Mechanisms(ch)...))
		x := begin(t, a, m.Name, ch)
		converse(t, x, func(challenge []byte) ([]byte, error) {
			_, out, err := client.Step(challenge)
			return out, err
		})
		if x.Account().JID != address("romeo") {
			t.Errorf("%s: %v", m.Name, x.Account())
		}
	}
}

// converse lets a client talk until we are done, and hands it our last message.
func converse(t *testing.T, x *Exchange, client func([]byte) ([]byte, error)) {
	t.Helper()
	var challenge []byte
	for range 3 {
		answer, err := client(challenge)
		if err != nil {
			t.Errorf("the client: %v", err)
			return
		}
		out, done, err := x.Step(context.Background(), answer)
		if err != nil {
			t.Error(err)
			return
		}
		if done {
			if len(out) > 0 {
				_, err = client(out)
			}
			if err != nil {
				t.Errorf("the client about our proof: %v", err)
			}
			return
		}
		challenge = out
	}
	t.Error("never done")
}

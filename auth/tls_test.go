package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/idna"
)

// dial connects a client to a server's side of TLS over loopback, both through the
// handshake, and returns what each knows of the connection.
func dial(t testing.TB, side *TLS, cfg *tls.Config) (client *tls.Conn, ch Channel, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	type result struct {
		ch  Channel
		err error
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	served := make(chan result, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			served <- result{err: err}
			return
		}
		t.Cleanup(func() { raw.Close() })
		conn := tls.Server(raw, side.Config())
		ch, err := side.Handshake(ctx, conn)
		if err == nil {
			_, err = conn.Write([]byte("x")) // the client reads it, and the tickets before it
		}
		served <- result{ch, err}
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	client = tls.Client(raw, cfg)
	err = client.HandshakeContext(ctx)
	if err == nil {
		_, err = client.Read(make([]byte, 1))
	}
	if err != nil {
		raw.Close()
	}
	r := <-served
	r.ch.Host = host
	if err == nil {
		err = r.err
	}
	return client, r.ch, err
}

// trusting makes a client's configuration that trusts a certificate of ours.
func trusting(certs *Certs, name string, c *clock) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certs.table.Load().pick(name, "").cert.Leaf)
	ascii, _ := idna.ToASCII(name)
	return &tls.Config{RootCAs: roots, ServerName: ascii, Time: c.now}
}

// Security requirement 14: nothing below TLS 1.2, AEAD with forward secrecy only.
func TestTLSVersionsAndCiphers(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: host})
	side := certs.Server(TLSOptions{ALPN: []string{"xmpp-client"}})
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		cfg := trusting(certs, host, c)
		cfg.MinVersion, cfg.MaxVersion = version, version
		if _, _, err := dial(t, side, cfg); err == nil {
			t.Errorf("version %x", version)
		}
	}
	for _, suite := range tls.CipherSuites() {
		cfg := trusting(certs, host, c)
		cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
		_, _, err := dial(t, side, cfg)
		want := suite.ID == tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || suite.ID == tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ||
			suite.ID == tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		if suite.SupportedVersions[0] == tls.VersionTLS12 && (err == nil) != want {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
	for _, suite := range tls.InsecureCipherSuites() {
		cfg := trusting(certs, host, c)
		cfg.MaxVersion, cfg.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
		if _, _, err := dial(t, side, cfg); err == nil {
			t.Errorf("%s", suite.Name)
		}
	}
	cfg := trusting(certs, host, c)
	cfg.NextProtos = []string{"xmpp-client"}
	client, ch, err := dial(t, side, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if st := client.ConnectionState(); st.Version != tls.VersionTLS13 || st.NegotiatedProtocol != "xmpp-client" {
		t.Errorf("%x, %q", st.Version, st.NegotiatedProtocol)
	}
	if !ch.TLS || !ch.Peer.IsLoopback() || len(ch.Exporter) != 32 || len(ch.EndPoint) != 32 || ch.Certs != nil {
		t.Errorf("%+v", ch)
	}
}

func TestCertificateBySNI(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: "one.example"}, HostCert{Host: "bücher.example"})
	side := certs.Server(TLSOptions{Host: "bücher.example"})
	for asked, want := range map[string]string{
		"one.example": "one.example", "bücher.example": "bücher.example", "conference.one.example": "one.example",
		"": "bücher.example", "nobody.example": "bücher.example",
	} {
		cfg := trusting(certs, want, c)
		cfg.ServerName, _ = idna.ToASCII(asked)
		cfg.InsecureSkipVerify = true // the name may be none
		client, ch, err := dial(t, side, cfg)
		if err != nil {
			t.Fatalf("%s: %v", asked, err)
		}
		leaf := client.ConnectionState().PeerCertificates[0]
		if names, _ := idna.ToASCII(want); leaf.VerifyHostname(names) != nil || !bytes.Equal(ch.EndPoint, EndPoint(leaf)) {
			t.Errorf("asked for %q: %v", asked, leaf.DNSNames)
		}
	}
}

// A resumed session keeps its bindings right: it is good for the certificate it began
// with, and for that one only (RFC 5929 §4.1).
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := newClock()
		certs := openCerts(t, c, HostCert{Host: host}, HostCert{Host: "two.example"})
		side := certs.Server(TLSOptions{})
		cfg := trusting(certs, host, c)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		cfg.InsecureSkipVerify = true // else it is the client that does not resume
		connect := func(resumed bool, what string) {
			t.Helper()
			client, ch, err := dial(t, side, cfg)
			if err != nil {
				t.Fatalf("%x, %s: %v", version, what, err)
			}
			st := client.ConnectionState()
			if st.DidResume != resumed {
				t.Errorf("%x, %s: resumed %v", version, what, st.DidResume)
			}
			if !bytes.Equal(ch.EndPoint, EndPoint(st.PeerCertificates[0])) {
				t.Errorf("%x, %s: the end points differ", version, what)
			}
			want, err := st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			if err != nil || !bytes.Equal(ch.Exporter, want) {
				t.Errorf("%x, %s: the exporters differ: %v", version, what, err)
			}
		}
		connect(false, "first")
		connect(true, "second")
		certs.cfg.Hosts[0].Names = []string{"new.example.org"}
		if err := certs.Reload(); err != nil {
			t.Fatal(err)
		}
		connect(false, "after a new certificate")
		connect(true, "and again")
	}
}

// The certificate a client shows counts if an authority of ours has signed it for
// clients; a bad one counts for nothing and ends nothing, unless it is required.
func TestClientCertificates(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: host})
	ours, foreign := newAuthority(t, c.now()), newAuthority(t, c.now())
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	expired := person(t, "x", "romeo@example.org")
	expired.NotBefore, expired.NotAfter = c.now().Add(-48*time.Hour), c.now().Add(-24*time.Hour)
	server := person(t, "x", "romeo@example.org")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, e := range map[string]struct {
		by       *authority
		template *x509.Certificate
		good     bool
	}{
		"none":         {},
		"good":         {ours, person(t, "x", "romeo@example.org"), true},
		"foreign":      {foreign, person(t, "x", "romeo@example.org"), false},
		"self-signed":  {&authority{now: c.now()}, person(t, "x", "romeo@example.org"), false},
		"expired":      {ours, expired, false},
		"for a server": {ours, server, false},
	} {
		cfg := trusting(certs, host, c)
		if e.by != nil {
			cert, key := e.by.issue(t, e.template)
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
			}
		}
		_, ch, err := dial(t, certs.Server(TLSOptions{ClientCAs: pool}), cfg)
		if err != nil || (len(ch.Certs) > 0) != e.good {
			t.Errorf("%s: %d certificates, %v", name, len(ch.Certs), err)
		}
		if got := len(certified(ch)) > 0; got != e.good {
			t.Errorf("%s: EXTERNAL %v", name, got)
		}
		if _, ch, err = dial(t, certs.Server(TLSOptions{}), cfg); err != nil || ch.Certs != nil {
			t.Errorf("%s, not asked for: %v, %v", name, ch.Certs, err)
		}
		if _, _, err = dial(t, certs.Server(TLSOptions{ClientCAs: pool, RequireClient: true}), cfg); (err == nil) != e.good {
			t.Errorf("%s, required: %v", name, err)
		}
	}
}

// What an HTTP server's connection is: the certificate is found by the name asked for.
func TestChannelOfAnHTTPServer(t *testing.T) {
	c := newClock()
	certs := openCerts(t, c, HostCert{Host: host}, HostCert{Host: "two.example"})
	side := certs.Server(TLSOptions{})
	var got Channel
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = side.Channel(*r.TLS) }))
	server.Listener = tls.NewListener(server.Listener, side.Config())
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(certs, "two.example", c)}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https" + strings.TrimPrefix(server.URL, "http"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	exporter, err := answer.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil || !bytes.Equal(got.Exporter, exporter) || !bytes.Equal(got.EndPoint, EndPoint(answer.TLS.PeerCertificates[0])) {
		t.Errorf("%+v, %v", got, err)
	}
}

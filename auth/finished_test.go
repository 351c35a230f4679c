package auth

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"testing"
)

// recording is a connection that remembers what the peer has sent.
type recording struct {
	net.Conn
	said []byte
}

func (r *recording) Handshaken() []byte { return r.said }

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.said = append(r.said, p[:n]...)
	return n, err
}

func handshake(t *testing.T, server *TLS, client *tls.Config) (Channel, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() {
		c := tls.Client(far, client)
		if c.Handshake() == nil {
			c.Read(make([]byte, 1)) // takes the tickets
		}
		far.Close()
	}()
	return server.Handshake(context.Background(), tls.Server(&recording{Conn: near}, server.Config()))
}

// What OpenSSL takes for tls-unique under TLS 1.3 is read from the handshake, differs each
// time, is accepted and not announced. The tests with strangers' clients compare the value.
func TestFinishedOfTLS13(t *testing.T) {
	certs, err := OpenCerts(CertConfig{Dir: t.TempDir(), Hosts: []HostCert{{Host: "example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := certs.Server(TLSOptions{})
	a, _ := open(t, Config{})
	seen := map[string]bool{}
	for range 3 {
		ch, err := handshake(t, server, &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(ch.Finished); n != 32 && n != 48 || seen[string(ch.Finished)] {
			t.Errorf("the message has %d bytes, or came before", n)
		}
		seen[string(ch.Finished)] = true
		if slices.Contains(a.Bindings(ch), TLSUnique) {
			t.Error("tls-unique is announced under TLS 1.3")
		}
		if string(ch.binding(TLSUnique)) != string(ch.Finished) {
			t.Error("the binding is not accepted")
		}
	}
	ch, err := handshake(t, server, &tls.Config{InsecureSkipVerify: true, ServerName: "example.com", MaxVersion: tls.VersionTLS12})
	if err != nil || ch.Finished != nil || len(ch.Unique) == 0 {
		t.Errorf("TLS 1.2: %x, %x, %v", ch.Finished, ch.Unique, err)
	}
	// A client that does not trust us leaves in the middle.
	if _, err := handshake(t, server, &tls.Config{ServerName: "example.com"}); err == nil {
		t.Error("a handshake without trust succeeded")
	}
	if n := len(server.secrets.m); n != 0 {
		t.Errorf("%d secrets are kept", n)
	}
}

// Bytes that are no handshake are nothing to stumble over.
func FuzzFinished(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0}, []byte("0123456789abcdef0123456789abcdef"))
	f.Add([]byte{23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, []byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, in, secret []byte) {
		clientRandom(in)
		if aead, iv := handshakeKeys(tls.TLS_AES_128_GCM_SHA256, secret); aead != nil {
			findFinished(in, aead, iv)
		}
	})
}

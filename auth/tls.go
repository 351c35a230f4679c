package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
)

// TLSOptions is what doors choose about TLS.
type TLSOptions struct {
	// Host is the domain for peers that ask for none: with STARTTLS, the "to" of the
	// stream header. Default: the first of CertConfig.Hosts.
	Host string
	// ALPN protocols, such as xmpp-client (RFC 7301, XEP-0368 §3).
	ALPN []string
	// ClientCAs are the authorities of certificates that clients may log in with. A
	// client is asked for one only if there are any.
	ClientCAs *x509.CertPool
	// AskClient asks for a certificate without ClientCAs, for doors that judge it
	// themselves.
	AskClient bool
	// RequireClient ends the handshake with a client that shows no valid certificate.
	// Default: it goes on, and the certificate counts for nothing.
	RequireClient bool
}

// TLS is the server's side of TLS for one kind of door. Make few of them and keep them:
// each has its own keys for session tickets.
type TLS struct {
	certs   *Certs
	opts    TLSOptions
	config  *tls.Config
	secrets secrets
}

// Server makes the server's side of TLS: version 1.2 and newer, forward secrecy and
// AEAD ciphers only (RFC 7590 §3.1, RFC 9325 §4.2), resumption by tickets whose keys
// change (RFC 7590 §3.3), no compression and no renegotiation (crypto/tls has neither).
func (c *Certs) Server(o TLSOptions) *TLS {
	o.Host = asciiHost(o.Host)
	t := &TLS{certs: c, opts: o}
	t.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are fixed
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: o.ALPN,
		// One record, and so one system call, for what is written at once.
		DynamicRecordSizingDisabled: true,
		ClientCAs:                   o.ClientCAs,
		ClientAuth:                  o.clientAuth(),
		Time:                        c.cfg.Now,
		GetConfigForClient:          t.chosen,
		GetCertificate:              t.certificate,
		WrapSession:                 t.wrap,
		UnwrapSession:               t.unwrap,
		KeyLogWriter:                &t.secrets, // see finished.go
	}
	return t
}

func (o TLSOptions) clientAuth() tls.ClientAuthType {
	switch {
	case o.RequireClient:
		return tls.RequireAndVerifyClientCert
	case o.ClientCAs != nil || o.AskClient:
		return tls.RequestClientCert // verified after the handshake, in clientChain
	}
	return tls.NoClientCert
}

// Config is for tls.Server and http.Server. It must not be changed.
func (t *TLS) Config() *tls.Config { return t.config }

// choice notes which certificate a handshake has used; it travels in the context.
type choice struct{ hc *hostCert }

type choiceKey struct{}

func (t *TLS) chosen(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if ch, ok := hello.Context().Value(choiceKey{}).(*choice); ok {
		ch.hc = t.pick(hello.ServerName)
	}
	return nil, nil
}

func (t *TLS) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if ch, ok := hello.Context().Value(choiceKey{}).(*choice); ok && ch.hc != nil {
		return &ch.hc.cert, nil
	}
	return &t.pick(hello.ServerName).cert, nil
}

func (t *TLS) pick(serverName string) *hostCert {
	return t.certs.table.Load().pick(serverName, t.opts.Host)
}

// A ticket carries a mark of the certificate its session began with. It is good only as
// long as that certificate is in use: a resumed session has the tls-server-end-point of
// its first handshake (RFC 5929 §4.1), and no door to another domain.
func (t *TLS) wrap(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
	ss.Extra = append(ss.Extra, t.mark(cs.ServerName))
	return t.config.EncryptTicket(cs, ss)
}

func (t *TLS) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	ss, err := t.config.DecryptTicket(identity, cs)
	if err != nil || ss == nil {
		return nil, err
	}
	mark := t.mark(cs.ServerName)
	for _, extra := range ss.Extra {
		if bytes.Equal(extra, mark) {
			return ss, nil
		}
	}
	return nil, nil // a full handshake follows
}

func (t *TLS) mark(serverName string) []byte {
	sum := sha256.Sum256(t.pick(serverName).cert.Certificate[0])
	return append([]byte("certificate "), sum[:]...)
}

// Handshake performs the handshake of a connection made with Config and returns what is
// known of the channel. The door adds the Host. ctx bounds how long it may take.
func (t *TLS) Handshake(ctx context.Context, conn *tls.Conn) (Channel, error) {
	used := &choice{}
	err := conn.HandshakeContext(context.WithValue(ctx, choiceKey{}, used))
	finished := t.finished(conn) // also forgets what was kept for it
	if err != nil {
		return Channel{}, err
	}
	ch := t.channel(conn.ConnectionState(), used.hc)
	ch.Finished = finished
	ch.Peer = addrOf(conn.RemoteAddr())
	return ch, nil
}

// Channel describes a connection whose handshake somebody else has performed (an HTTP
// server). Should the certificate have been replaced since, its EndPoint is the new one's.
func (t *TLS) Channel(state tls.ConnectionState) Channel {
	return t.channel(state, t.pick(state.ServerName))
}

func (t *TLS) channel(state tls.ConnectionState, hc *hostCert) Channel {
	ch := Channel{TLS: true, Version: state.Version, EndPoint: hc.endPoint, Certs: t.clientChain(state)}
	// RFC 9266 §2. Before TLS 1.3 it needs the extended master secret (RFC 9266 §4.2):
	// without it there is an error, and no such binding.
	if b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		ch.Exporter = b
		ch.Unique = state.TLSUnique // nil with TLS 1.3
	}
	return ch
}

// clientChain verifies the client's certificate. A bad one counts as none: the client
// may still log in with a password.
func (t *TLS) clientChain(state tls.ConnectionState) []*x509.Certificate {
	if t.opts.ClientCAs == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	chains, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: t.opts.ClientCAs, Intermediates: between, CurrentTime: t.certs.cfg.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		t.certs.cfg.Log.Info("a client's certificate is not accepted", "err", err)
		return nil
	}
	return chains[0]
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}

// EndPoint returns the channel binding tls-server-end-point of a certificate: its hash
// by the hash function of its signature, SHA-256 in place of MD5 and SHA-1 (RFC 5929
// §4.1). It is nil where the signature has no hash function of its own (Ed25519).
func EndPoint(cert *x509.Certificate) []byte {
	var h crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = crypto.SHA512
	default:
		return nil
	}
	sum := h.New()
	sum.Write(cert.Raw)
	return sum.Sum(nil)
}

package web

import (
	"crypto/tls"
	"crypto/x509"

	"parley/auth"
)

// testTLS trusts the certificate of example.com.
func testTLS(certs *auth.Certs) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate("example.com").Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

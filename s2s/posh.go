package s2s

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	poshPath = "/.well-known/posh/xmpp-server.json" // RFC 7712 §5.2

	maxDocument     = 64 << 10         // bytes
	maxFingerprints = 64               // of a document; more are not looked at
	maxRedirects    = 3                // RFC 7711 §10 lets us follow 10
	maxFetching     = 10 * time.Second // for a domain, with what it refers to
	maxFetches      = 8                // at once
	maxDocuments    = 1024             // remembered
	maxPOSHAge      = 24 * time.Hour   // documents are believed no longer, whatever they say
	noPOSHAge       = 10 * time.Minute // before a domain is asked again that had none
)

// A posh fetches and remembers what web servers say about certificates (RFC 7711).
type posh struct {
	client    http.Client
	transport *http.Transport // ours to close; nil if it was given
	memory    *memory[string, material]
	now       func() time.Time
}

// material is what a domain's web server said: fingerprints, or why there are none.
type material struct {
	prints []fingerprint
	err    error
}

// A fingerprint is a descriptor of RFC 7711 §3.1: what it says by the digests that we know.
type fingerprint struct{ sha256, sha512 []byte }

// document is either of the two that RFC 7711 §3.1 and §3.2 know.
type document struct {
	Fingerprints []map[string]string `json:"fingerprints"`
	URL          *string             `json:"url"`
	Expires      *json.Number        `json:"expires"`
}

func newPOSH(stopped context.Context, cfg JudgeConfig) *posh {
	p := &posh{now: cfg.Now, memory: newMemory[string, material](stopped, cfg.Now, maxDocuments, maxFetches, maxFetching)}
	via := cfg.HTTP
	if via == nil {
		p.transport = poshTransport(cfg)
		via = p.transport
	}
	p.client = http.Client{Transport: via, CheckRedirect: checkRedirect}
	return p
}

func (p *posh) close() {
	if p.transport != nil {
		p.transport.CloseIdleConnections()
	}
}

// poshTransport speaks HTTPS, finds hosts as we find all others, and keeps no connections.
func poshTransport(cfg JudgeConfig) *http.Transport {
	d := Dialer{Resolver: cfg.Resolver}
	if !cfg.POSHPrivate {
		d.Net.Control = publicOnly
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			t, err := ParseRoute(addr)
			if err != nil {
				return nil, err
			}
			c, err := d.Dial(ctx, t, nil)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12, Time: cfg.Now},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxDocument,
		ForceAttemptHTTP2:      true,
	}
}

// publicOnly refuses to connect to machines that strangers cannot reach by themselves.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) // RFC 6598
	a := ap.Addr().Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || shared.Contains(a) {
		return fmt.Errorf("%s is no public address", a)
	}
	return nil
}

// fetchable reports whether there may be a public web server of a name: it has two labels at
// least, and is in no zone that is for local use.
func fetchable(ascii string) bool {
	if _, ip := literal(ascii); ip || !strings.Contains(ascii, ".") || strings.Contains(ascii, "_") {
		return false
	}
	for _, zone := range []string{"localhost", "local", "internal", "lan", "home.arpa", "arpa", "onion", "invalid", "alt"} {
		if strings.HasSuffix(ascii, "."+zone) {
			return false
		}
	}
	top := ascii[strings.LastIndexByte(ascii, '.')+1:]
	return strings.Trim(top, "0123456789") != ""
}

// verify compares a certificate with what the domain's web server says (RFC 7711 §3.3).
func (p *posh) verify(ctx context.Context, domain string, leaf *x509.Certificate, trail *Trail) error {
	m, err := p.memory.get(ctx, domain, func(ctx context.Context) (material, time.Duration) {
		m, age := p.fetch(ctx, domain)
		if m.err != nil {
			return m, noPOSHAge
		}
		return m, age
	})
	if err == nil {
		err = m.err
	}
	if err != nil {
		trail.Fail(StagePOSH, "%v", err)
		return err
	}
	// RFC 7711 §6: the document does not make an expired certificate good.
	if now := p.now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return fmt.Errorf("the certificate is valid from %s to %s", leaf.NotBefore.UTC().Format(time.DateOnly), leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if err := strongKey(leaf); err != nil {
		return err
	}
	for _, print := range m.prints {
		if print.matches(leaf.Raw) {
			return nil
		}
	}
	return fmt.Errorf("https://%s%s names other certificates", domain, poshPath)
}

// readPrint takes out of a descriptor what we know. One with none of that, or with what is no
// digest, is for no certificate.
func readPrint(descriptor map[string]string) (f fingerprint, ok bool) {
	for name, value := range descriptor {
		sum, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(cut(value, 100), "="))
		switch strings.ToLower(name) {
		case "sha-256":
			if f.sha256 = sum; err != nil || len(sum) != sha256.Size {
				return fingerprint{}, false
			}
		case "sha-512":
			if f.sha512 = sum; err != nil || len(sum) != sha512.Size {
				return fingerprint{}, false
			}
		}
	}
	return f, f.sha256 != nil || f.sha512 != nil
}

// matches wants every digest that the descriptor has to be right.
func (f fingerprint) matches(der []byte) bool {
	short, long := sha256.Sum256(der), sha512.Sum512(der)
	return (f.sha256 != nil || f.sha512 != nil) &&
		(f.sha256 == nil || subtle.ConstantTimeCompare(f.sha256, short[:]) == 1) &&
		(f.sha512 == nil || subtle.ConstantTimeCompare(f.sha512, long[:]) == 1)
}

// fetch gets a domain's document, and the one that it refers to.
func (p *posh) fetch(ctx context.Context, domain string) (material, time.Duration) {
	doc, age, err := p.document(ctx, "https://"+domain+poshPath)
	if err == nil && doc.URL != nil {
		var u *url.URL
		if u, err = url.Parse(*doc.URL); err == nil {
			err = checkURL(u)
		}
		if err == nil {
			shorter := age // RFC 7711 §6
			doc, age, err = p.document(ctx, u.String())
			age = min(age, shorter)
		}
		if err == nil && doc.URL != nil {
			err = errors.New("it refers to a document that refers to another") // RFC 7711 §3.2
		}
	}
	if err != nil {
		return material{err: errors.New(oneLine(err.Error()))}, 0 // it may be long
	}
	var m material
	for _, descriptor := range doc.Fingerprints {
		if f, ok := readPrint(descriptor); ok {
			m.prints = append(m.prints, f)
		}
	}
	return m, age
}

// document fetches and checks one document.
func (p *posh) document(ctx context.Context, from string) (doc document, age time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return doc, 0, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return doc, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return doc, 0, fmt.Errorf("%s: %s", from, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return doc, 0, fmt.Errorf("%s: %w", from, err)
	}
	if doc, age, err = parseDocument(text); err != nil {
		return doc, 0, fmt.Errorf("%s: %w", from, err)
	}
	return doc, age, nil
}

// parseDocument reads either kind of document, and for how long it is good.
func parseDocument(text []byte) (doc document, age time.Duration, err error) {
	if len(text) > maxDocument {
		return doc, 0, fmt.Errorf("longer than %d bytes", maxDocument)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return document{}, 0, fmt.Errorf("not such a document: %w", err)
	}
	switch {
	case doc.Expires == nil:
		return document{}, 0, errors.New("it does not say when it expires")
	case (doc.URL == nil) == (len(doc.Fingerprints) == 0):
		return document{}, 0, errors.New("it has neither or both of fingerprints and url")
	}
	n, err := doc.Expires.Int64()
	if err != nil || n <= 0 { // RFC 7711 §3.1: 0 is invalid
		return document{}, 0, fmt.Errorf("it expires after %s seconds", cut(doc.Expires.String(), 20))
	}
	age = min(time.Duration(min(n, int64(maxPOSHAge/time.Second)))*time.Second, maxPOSHAge)
	doc.Fingerprints = doc.Fingerprints[:min(len(doc.Fingerprints), maxFingerprints)]
	return doc, age, nil
}

// checkURL lets us go only where a web server of the public may be.
func checkURL(u *url.URL) error {
	host, err := asciiDomain(u.Hostname())
	if err != nil || u.Scheme != "https" || u.User != nil || !fetchable(host) {
		return fmt.Errorf("it refers to %q, which is no https address", cut(u.Redacted(), 120))
	}
	return nil
}

func checkRedirect(req *http.Request, before []*http.Request) error {
	if len(before) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return checkURL(req.URL)
}

package s2s

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What a domain was proved by (RFC 7712 §5).
const (
	ProofPKIX = "pkix" // an authority that we know vouches for the domain
	ProofDANE = "dane" // signed DNS names the certificate, or its authority
	ProofPOSH = "posh" // the domain's web server names the certificate
)

const (
	maxChain  = 10   // certificates that the other side sends; more are refused
	minRSA    = 2048 // bits
	maxRSA    = 8192 // bits; as in crypto/tls
	minCurve  = 256  // bits
	maxJudged = 8    // targets of a domain that are looked at for an incoming stream
)

// JudgeConfig says what is believed.
type JudgeConfig struct {
	// Roots are the authorities that may vouch for other servers, and for the web servers of
	// POSH; nil: the system's.
	Roots *x509.CertPool
	// Resolver is asked for TLSA records and for addresses. It must be there.
	Resolver *Resolver
	// DANE looks for TLSA records (RFC 7673). Only answers that DNSSEC has authenticated
	// count, so nothing is asked where no resolver is trusted to say so.
	DANE bool
	// POSH asks the domain's web server for the certificate (RFC 7711), as the last resort.
	POSH bool
	// POSHPrivate lets POSH go to web servers at private and local addresses. Otherwise a
	// stranger who names such a domain could have machines in our network asked.
	POSHPrivate bool
	// HTTP fetches the documents of POSH; nil: by TLS 1.2 or newer, with Roots and Resolver.
	HTTP http.RoundTripper
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// A Judge decides whether the certificate that another server showed proves a domain. All its
// methods may be called at the same time.
type Judge struct {
	cfg  JudgeConfig
	posh *posh
	stop context.CancelFunc
}

// A Verdict is what a judge found.
type Verdict struct {
	Proof string // ProofPKIX, ProofDANE or ProofPOSH; "": the certificate proves nothing
	// Refused: the domain says by signed DNS which certificates it has, and this is none of
	// them, or it cannot be found out; nothing else may prove it, dialback neither.
	Refused bool
	Reason  string // plain words, on one line: why it is believed, or is not
}

// NewJudge makes a judge. Close ends what is on its way.
func NewJudge(cfg JudgeConfig) *Judge {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	stopped, stop := context.WithCancel(context.Background())
	return &Judge{cfg: cfg, posh: newPOSH(stopped, cfg), stop: stop}
}

// Close lets all questions fail that are open, and all later ones.
func (j *Judge) Close() {
	j.stop()
	j.posh.close()
}

// WithoutPOSH returns a judge who knows the same, but asks no web servers.
func (j *Judge) WithoutPOSH() *Judge {
	c := *j
	c.cfg.POSH = false
	return &c
}

// Stats says how many documents of POSH are remembered and fetched.
func (j *Judge) Stats() MemoryStats { return j.posh.memory.stats() }

// Verify judges the chain that a server showed, its own certificate first, which claims to be
// domain. via is the target of that domain that we have connected to; nil for a stream
// that came in, or is asked for a further domain, which is looked up then. The order is PKIX, DANE, POSH; but where TLSA records can be used,
// one of them has to fit, whatever an authority says (RFC 6698 §4.1). It asks DNS and web
// servers, so ctx should have an end.
func (j *Judge) Verify(ctx context.Context, domain string, chain []*x509.Certificate, via *Target, trail *Trail) Verdict {
	v := j.verify(ctx, domain, chain, via, trail)
	v.Reason = oneLine(v.Reason)
	stage := StageCertificate
	if v.Refused || v.Proof == ProofDANE {
		stage = StageDANE
	} else if v.Proof == ProofPOSH {
		stage = StagePOSH
	}
	if v.Proof == "" {
		trail.Fail(stage, "%s is not proved: %s", domain, v.Reason)
	} else {
		trail.Note(stage, "%s is proved: %s", domain, v.Reason)
	}
	return v
}

func (j *Judge) verify(ctx context.Context, domain string, chain []*x509.Certificate, via *Target, trail *Trail) Verdict {
	ref, err := newReference(domain)
	switch {
	case err != nil:
		return Verdict{Reason: fmt.Sprintf("%q cannot be the name of a server", cut(domain, 80))}
	case len(chain) == 0:
		return Verdict{Reason: "no certificate was shown"}
	case len(chain) > maxChain:
		return Verdict{Reason: fmt.Sprintf("more than %d certificates were shown", maxChain)}
	}
	if via != nil && via.Domain != ref.ascii {
		via = nil // where another domain's server is says nothing about this one
	}
	e := &evidence{judge: j, refs: []reference{ref}, chain: chain, trail: trail}
	if j.cfg.DANE && !ref.ip.IsValid() && j.cfg.Resolver.authenticates() {
		if v, done := e.dane(ctx, via); done {
			return v
		}
	}
	paths, err := e.pkix()
	if err == nil {
		return Verdict{Proof: ProofPKIX, Reason: e.vouched(paths)}
	}
	if !j.cfg.POSH || !fetchable(ref.ascii) {
		return Verdict{Reason: err.Error()}
	}
	trail.Note(StageCertificate, "%v", err)
	if perr := j.posh.verify(ctx, ref.ascii, chain[0], trail); perr != nil {
		return Verdict{Reason: fmt.Sprintf("%v; POSH: %v", err, perr)}
	}
	return Verdict{Proof: ProofPOSH, Reason: "its web server names this certificate (POSH)"}
}

// evidence is what is looked at for one verdict.
type evidence struct {
	judge *Judge
	refs  []reference // who the certificate may be for; the domain first
	chain []*x509.Certificate
	trail *Trail
}

// delegatedTo adds the name of a host to which signed DNS delegates the domain (RFC 7673 §4.1).
func (e *evidence) delegatedTo(host string) {
	e.refs = append(e.refs, reference{ascii: host, host: true})
}

// pkix verifies the chain up to an authority that we know, and the name.
func (e *evidence) pkix() ([][]*x509.Certificate, error) {
	return e.verify(e.judge.cfg.Roots, e.chain[1:])
}

// verify finds paths from the certificate to one of roots (nil: the system's), and keeps those
// that prove one of the names. Purposes do not matter: public authorities do not issue for
// clientAuth any more, and a server is a client where it connects.
func (e *evidence) verify(roots *x509.CertPool, others []*x509.Certificate) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	leaf := handled(e.chain[0])
	paths, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: e.judge.cfg.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, e.plain(err)
	}
	var good [][]*x509.Certificate
	var weak error
	for _, path := range paths {
		if err := strong(path); err != nil {
			weak = err
		} else if e.named(path) {
			good = append(good, path)
		}
	}
	switch {
	case len(good) > 0:
		return good, nil
	case weak != nil:
		return nil, weak
	}
	return nil, fmt.Errorf("the certificate is for %s, not for %s", namesOf(leaf), e.refs[0].ascii)
}

// handled is a certificate whose names may all be ones that crypto/x509 does not know, SRV-ID
// and XmppAddr: where subjectAltName is critical, it would take them for unread.
func handled(cert *x509.Certificate) *x509.Certificate {
	c := *cert
	c.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool {
		return id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17})
	})
	return &c
}

func (e *evidence) named(path []*x509.Certificate) bool {
	for _, ref := range e.refs {
		if ref.matches(path[0], !constrained(path)) {
			return true
		}
	}
	return false
}

// vouched says who stands for a certificate.
func (e *evidence) vouched(paths [][]*x509.Certificate) string {
	path := paths[0]
	by := path[len(path)-1].Subject
	text := fmt.Sprintf("the certificate is for it, and %s vouches for that", nameOf(by))
	if !e.refs[0].matches(path[0], !constrained(path)) {
		text = fmt.Sprintf("the certificate is for %s, to which signed DNS leads, and %s vouches for that", namesOf(path[0]), nameOf(by))
	}
	return text
}

// strong refuses keys that are too short today. SHA-1 and MD5 signatures are refused by
// crypto/x509.
func strong(path []*x509.Certificate) error {
	for _, c := range path {
		if err := strongKey(c); err != nil {
			return err
		}
	}
	return nil
}

func strongKey(c *x509.Certificate) error {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA {
			return fmt.Errorf("the key of %s has %d bits, fewer than %d", nameOf(c.Subject), n, minRSA)
		} else if n > maxRSA {
			return fmt.Errorf("the key of %s has %d bits, more than %d", nameOf(c.Subject), n, maxRSA)
		}
	case *ecdsa.PublicKey:
		if n := k.Curve.Params().BitSize; n < minCurve {
			return fmt.Errorf("the key of %s has %d bits, fewer than %d", nameOf(c.Subject), n, minCurve)
		}
	}
	return nil
}

// plain says in words why there is no path.
func (e *evidence) plain(err error) error {
	const day = "2006-01-02"
	leaf, now := e.chain[0], e.judge.cfg.Now()
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		whose := "the certificate"
		if !invalid.Cert.Equal(leaf) {
			whose = "the certificate of " + nameOf(invalid.Cert.Subject)
		}
		if now.Before(invalid.Cert.NotBefore) {
			return fmt.Errorf("%s is not valid before %s", whose, invalid.Cert.NotBefore.UTC().Format(day))
		}
		return fmt.Errorf("%s expired on %s", whose, invalid.Cert.NotAfter.UTC().Format(day))
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		return errors.New(strings.TrimPrefix(err.Error(), "x509: "))
	}
	if selfSigned(leaf) {
		return errors.New("the certificate is self-signed")
	}
	top := e.chain[len(e.chain)-1]
	return fmt.Errorf("its authority is not known here: %s", nameOf(top.Issuer))
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// nameOf is what a certificate calls somebody, for people.
func nameOf(n pkix.Name) string {
	return oneLine(cut(fmt.Sprintf("%q", cmp.Or(n.CommonName, n.String())), 120))
}

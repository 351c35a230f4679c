package s2s

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/idna"

	"parley/xmpp"
)

// peerFeatures are what the other side offers.
type peerFeatures struct {
	starttls, external, dialback, dialbackErrors, bidi, sm bool
	maxBytes                                               int // of one stanza (XEP-0478); 0: not said
}

func readFeatures(st *xmpp.Stanza) (f peerFeatures) {
	for e := range st.Children {
		switch n := e.Name(); n.Space {
		case xmpp.NSTLS:
			f.starttls = f.starttls || n.Local == "starttls"
		case xmpp.NSSASL:
			e.Children(func(m xmpp.Element) bool {
				f.external = f.external || m.Is(xmpp.NSSASL, "mechanism") && m.Text() == "EXTERNAL"
				return true
			})
		case nsDialbackFeature:
			f.dialback = true
			f.dialbackErrors = !e.Child(nsDialbackFeature, "errors").IsZero()
		case nsBidiFeature:
			f.bidi = true
		case nsSM:
			f.sm = true
		case nsLimits:
			if n, err := strconv.Atoi(e.ChildText(nsLimits, "max-bytes")); err == nil && n > 0 {
				f.maxBytes = n
			}
		}
	}
	return f
}

// reach returns a stream by which a pair may be sent: one that is there, or a new one.
func (s *Server) reach(ctx context.Context, p pair) (*link, error) {
	rule := s.policy.Load().For(p.remote)
	if rule.Denied {
		f := refusal("this server does not talk to %s", p.remote)
		f.condition = "not-allowed"
		return nil, f
	}
	r := s.route(p)
	back := r.resumes()
	if l := s.carrier(p); l != nil && (back == nil || r.stuck()) {
		r.notResumed((*resumption).ours)
		return l, nil
	}
	if l := s.shareable(p); l != nil && back == nil {
		if err := l.share(ctx, p); err == nil {
			return l, nil
		}
	}
	l, err := s.connect(ctx, r, rule)
	if err != nil && r.resumes() == nil {
		if l := s.carrier(p); l != nil { // the other side has opened one meanwhile
			return l, nil
		}
	}
	return l, err
}

// connect opens a stream for a route.
func (s *Server) connect(ctx context.Context, r *route, rule Rule) (*link, error) {
	ctx, stop := context.WithTimeout(ctx, s.settings.Load().Connect)
	defer stop()
	l, err := s.openFor(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := l.authenticate(ctx, r.pair, rule); err != nil {
		f := asFailure(err)
		f.trail = l.trail
		l.trail.Fail(StageProof, "%s", f.text)
		l.end(nil)
		return nil, f
	}
	l.trail.Note(StageProof, "the stream is open")
	return l, nil
}

// openFor is open, until another stream will do.
func (s *Server) openFor(ctx context.Context, r *route) (*link, error) {
	ctx, stop := context.WithCancel(ctx)
	r.mu.Lock()
	r.abort = stop
	r.mu.Unlock()
	if r.resumes() == nil && s.carrier(r.pair) != nil { // it was there a moment too early to be noticed
		stop()
	}
	defer func() {
		r.mu.Lock()
		r.abort = nil
		r.mu.Unlock()
		stop()
	}()
	return s.open(ctx, r.pair)
}

// share has a stream carry another domain of ours. Where both sides may send, the other one
// may then answer (XEP-0288 §2.2): it is who it was when the stream was opened.
func (l *link) share(ctx context.Context, p pair) error {
	l.mu.Lock()
	proof, both := l.theirs, l.bidi
	l.mu.Unlock()
	if both && !l.allow(p, proof) {
		return errLinkEnded
	}
	if err := l.requestKey(ctx, p); err != nil {
		if both {
			l.forbid(p)
		}
		return err
	}
	l.mayCarry(p, "dialback")
	l.log().Info("a stream is shared", "for", p.local)
	return nil
}

// Stages of a trail that streams note.
const (
	StageStream = "stream" // headers and features
	StageProof  = "proof"  // who believes whom, and why
)

// open connects to the server of p.remote, up to the features behind TLS. The reader is not
// at work yet.
func (s *Server) open(ctx context.Context, p pair) (*link, error) {
	trail := &Trail{}
	targets, err := s.cfg.Resolver.Targets(ctx, p.remote, trail)
	if err != nil {
		f := asFailure(err)
		f.trail = trail
		return nil, f
	}
	var last error
	for len(targets) > 0 && ctx.Err() == nil {
		nc, i, err := s.cfg.Dialer.DialAny(ctx, targets, trail)
		if err != nil {
			last = cmp.Or(last, err)
			break
		}
		l, err := s.try(ctx, p, nc, targets[i], len(targets), trail)
		if err == nil {
			return l, nil
		}
		last = err
		targets = slices.Delete(slices.Clone(targets), i, i+1)
	}
	if last == nil {
		last = cmp.Or(ctx.Err(), fmt.Errorf("%s has no server", p.remote))
	}
	f := asFailure(last)
	f.trail = trail
	return nil, f
}

// maxShares is into how many parts the time that is left is divided at most, where there are so
// many targets: one that connects and is silent leaves time for the next.
const maxShares = 3

// try opens a stream to a target that we are connected to. It is one of that many.
func (s *Server) try(ctx context.Context, p pair, nc *net.TCPConn, target Target, of int, trail *Trail) (*link, error) {
	t, err := xmpp.NewTCP(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	l := newLink(s, t, true)
	l.head, l.trail, l.direct, l.target = p, trail, target.Direct, target
	l.addr, _ = netip.ParseAddrPort(nc.RemoteAddr().String())
	if !s.enter(l) {
		t.Close(0)
		return nil, errors.New("the server is being stopped")
	}
	within := s.settings.Load().Connect
	if until, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(until)/time.Duration(min(of, maxShares)))
	}
	ctx, stop := context.WithTimeout(ctx, within)
	defer stop()
	undo := context.AfterFunc(ctx, func() { t.Close(0) })
	err = l.greet(ctx)
	if !undo() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		err = inWords(err)
		trail.Fail(StageStream, "%s: %v", target, err)
		l.end(&lostError{err})
		close(l.done)
		s.forget(l)
		return nil, err
	}
	return l, nil
}

// greet goes through the streams up to the features behind TLS.
func (l *link) greet(ctx context.Context) error {
	if l.direct {
		if err := l.connectTLS(ctx); err != nil {
			return err
		}
	}
	if err := l.hello(); err != nil {
		return err
	}
	if l.t.Secure() {
		return nil
	}
	if !l.features.starttls {
		return refusal("%s offers no TLS", l.head.remote)
	}
	l.write([]byte("<starttls xmlns='" + xmpp.NSTLS + "'/>"))
	st, err := l.reply()
	switch {
	case err != nil:
		return err
	case st.Name != xmpp.Name{Space: xmpp.NSTLS, Local: "proceed"}:
		return refusal("%s refuses to begin TLS", l.head.remote)
	}
	if err := l.connectTLS(ctx); err != nil {
		return err
	}
	return l.hello()
}

// reply waits for the next element of the other side. A stream error is an error.
func (l *link) reply() (*xmpp.Stanza, error) {
	st, err := l.st.Await()
	if err == nil && st.Name == (xmpp.Name{Space: xmpp.NSStream, Local: "error"}) {
		condition, text := streamErrorOf(st)
		return nil, &theirs{condition, text}
	}
	return st, err
}

// hello opens a stream and reads the features of the other side.
func (l *link) hello() error {
	l.header(l.head, "")
	l.Flush()
	h, err := l.st.Header()
	if err != nil {
		return err
	}
	l.streamID = h.ID
	st, err := l.reply()
	switch {
	case err != nil:
		return err
	case st.Name != xmpp.Name{Space: xmpp.NSStream, Local: "features"}:
		return errors.New("no stream features came")
	case h.Major < 1:
		return refusal("%s speaks a version of XMPP without TLS", l.head.remote)
	}
	f := readFeatures(st)
	l.mu.Lock()
	l.features = f
	l.mu.Unlock()
	return nil
}

// connectTLS does the client's side of the handshake. Whom the certificate stands for is
// judged afterwards.
func (l *link) connectTLS(ctx context.Context) error {
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		CipherSuites:                l.s.cfg.TLS(l.head.local).Config().CipherSuites,
		InsecureSkipVerify:          true, // see judge: PKIX is but one of several proofs
		DynamicRecordSizingDisabled: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return l.s.cfg.Certificate(l.head.local), nil
		},
	}
	if l.direct {
		cfg.NextProtos = []string{"xmpp-server"} // XEP-0368 §3
	}
	if name, err := idna.Lookup.ToASCII(l.head.remote); err == nil {
		cfg.ServerName = name // RFC 7590 §3.5; also where SRV leads elsewhere (XEP-0368 §3)
	}
	l.st.Restart(xmpp.Limits{Stanza: unprovenStanza})
	deadline, _ := ctx.Deadline()
	err := l.t.ConnectTLS(cfg, deadline, func(c *tls.Conn) error { return c.HandshakeContext(ctx) })
	if err = inWords(err); err != nil {
		l.trail.Fail(StageTLS, "%v", err)
		return fmt.Errorf("TLS: %w", err)
	}
	l.trail.Note(StageTLS, "%s", tls.VersionName(l.t.TLS().Version))
	return nil
}

// authenticate has each side know whom it talks to, and leaves the reader at work.
func (l *link) authenticate(ctx context.Context, p pair, rule Rule) error {
	started := false
	defer func() {
		if !started {
			close(l.done)
			l.s.forget(l)
		}
	}()
	start := func() {
		started = true
		go func() {
			defer l.s.forget(l)
			l.live()
		}()
	}
	undo := context.AfterFunc(ctx, func() { l.t.Close(0) })
	defer undo()
	verdict := l.judge(ctx, p.remote, &l.target)
	proof := verdict.Proof
	switch {
	case verdict.Refused, proof == "" && !rule.Dialback:
		return refusal("the certificate of %s is not accepted: %s", p.remote, verdict.Reason)
	case proof == "":
		proof = "dns"
		l.trail.Note(StageProof, "the certificate proves nothing (%s); the server is believed because DNS leads to it", verdict.Reason)
	}
	if l.features.bidi && l.s.settings.Load().Bidi && !l.tries {
		l.mu.Lock()
		l.bidi = true
		l.mu.Unlock()
		set := l.s.settings.Load()
		var b xmpp.Builder
		b.Open(nsBidi, "bidi").Open(nsLimits, "limits").Leaf("", "max-bytes", strconv.Itoa(set.Stanza))
		l.say(b.Payload())
	}
	ours := ""
	if l.features.external {
		err := l.login()
		switch {
		case err == nil:
			ours = "certificate"
		case !errors.Is(err, errNotBelieved) || !l.features.dialback:
			return err
		}
	}
	if l.bidi {
		l.allow(p, proof)
	}
	start()
	if ours == "" {
		if err := l.requestKey(ctx, p); err != nil {
			return err
		}
		ours = "dialback"
	}
	l.mu.Lock()
	l.ours, l.theirs = ours, proof
	l.mu.Unlock()
	if l.tries {
		return nil
	}
	if l.features.sm && l.s.settings.Load().Manage {
		if err := l.beginSM(ctx, p); err != nil {
			return err
		}
	} else {
		l.s.route(p).notResumed((*resumption).ours)
	}
	l.mayCarry(p, ours)
	l.log().Info("connected to a server", "target", l.target.String(), "tls", tls.VersionName(l.t.TLS().Version), "believed_by", proof, "believes_us_by", ours, "bidi", l.bidi, "sm", l.features.sm)
	return nil
}

var errNotBelieved = refusal("the other server does not accept our certificate (SASL EXTERNAL)")

// login proves our domain by our certificate (XEP-0178 §3).
func (l *link) login() error {
	l.write([]byte("<auth xmlns='" + xmpp.NSSASL + "' mechanism='EXTERNAL'>=</auth>"))
	st, err := l.reply()
	switch {
	case err != nil:
		return err
	case st.Name == xmpp.Name{Space: xmpp.NSSASL, Local: "failure"}:
		l.trail.Fail(StageProof, "SASL EXTERNAL: %s", failureOf(st))
		return errNotBelieved
	case st.Name != xmpp.Name{Space: xmpp.NSSASL, Local: "success"}:
		return errors.New("no answer to SASL came")
	}
	l.st.Renew(xmpp.Limits{Stanza: unprovenStanza})
	return l.hello()
}

func failureOf(st *xmpp.Stanza) string {
	for e := range st.Children {
		if e.Name().Local != "text" {
			return e.Name().Local
		}
	}
	return "failure"
}

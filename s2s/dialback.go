package s2s

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"parley/xmpp"
)

// dialbackWithin is how long verifying a key may take, on either side (XEP-0220 §2.1.1).
const dialbackWithin = 30 * time.Second

// query is a question to an authoritative server about a key: for which pair, and which stream.
type query struct {
	pair
	id string
}

// dialbackKey is the key of a stream from originating to receiving with that id
// (XEP-0185 §3). secret is any string.
func dialbackKey(secret, receiving, originating, id string) string {
	hash := sha256.Sum256([]byte(secret))
	mac := hmac.New(sha256.New, []byte(hex.EncodeToString(hash[:])))
	fmt.Fprintf(mac, "%s %s %s", receiving, originating, id)
	return hex.EncodeToString(mac.Sum(nil))
}

// dialback takes an element of server dialback.
func (l *link) dialback(st *xmpp.Stanza) error {
	from, to, ok := dialbackPair(st)
	switch typ, answer := st.Attr("type"); {
	case !ok:
		return xmpp.EndStream("improper-addressing", "")
	case !l.t.Secure():
		return xmpp.EndStream("policy-violation", "dialback needs TLS")
	case st.Name.Local == "result" && answer:
		l.keyAnswered(pair{to, from}, typ, st)
	case st.Name.Local == "verify" && answer:
		l.verifyAnswered(pair{to, from}, typ, st)
	case st.Name.Local == "verify" && !l.out:
		return l.authoritative(from, to, st)
	case st.Name.Local == "result" && (!l.out || l.bidi):
		return l.theirKey(pair{to, from}, st)
	default:
		return xmpp.EndStream("unsupported-stanza-type", "")
	}
	return nil
}

func dialbackPair(st *xmpp.Stanza) (from, to string, ok bool) {
	f, _ := st.Attr("from")
	t, _ := st.Attr("to")
	a, err1 := xmpp.ParseJID(f)
	b, err2 := xmpp.ParseJID(t)
	return a.Domain(), b.Domain(), err1 == nil && err2 == nil && a.IsHost() && b.IsHost()
}

// authoritative answers whether a key is one of ours (XEP-0220 §2.2.2). Nobody has to have
// proved anything to ask.
func (l *link) authoritative(from, to string, st *xmpp.Stanza) error {
	id, _ := st.Attr("id")
	l.said = true
	if !l.s.cfg.Local(to) {
		b := dialbackElement("verify", to, from, "type", "error", "id", id)
		b = append(b[:len(b)-2], '>')
		b = append(b, xmpp.Refuse("item-not-found", "").Payload()...) // XEP-0220 §2.5
		l.say(append(b, "</db:verify>"...))
		return nil
	}
	typ := "invalid"
	if hmac.Equal([]byte(st.Text()), []byte(dialbackKey(l.s.secret, from, to, id))) {
		typ = "valid"
	} else {
		l.logOdd("a dialback key is not ours", "asked_by", from, "for", to)
	}
	l.say(dialbackElement("verify", to, from, "type", typ, "id", id))
	return nil
}

// dialbackElement writes <db:result/> or <db:verify/>; the prefix is that of our headers
// (XEP-0220 §2).
func dialbackElement(name, from, to string, attrs ...string) []byte {
	return dialbackKeyElement(name, "", from, to, attrs...)
}

func dialbackKeyElement(name, text, from, to string, attrs ...string) []byte {
	b := append([]byte("<db:"), name...)
	for i, list := 0, append([]string{"from", from, "to", to}, attrs...); i+1 < len(list); i += 2 {
		b = append(append(append(b, ' '), list[i]...), '=', '\'')
		b = append(xmpp.AppendEscaped(b, list[i+1]), '\'')
	}
	if text == "" {
		return append(b, "/>"...)
	}
	b = xmpp.AppendEscaped(append(b, '>'), text)
	return append(append(append(b, "</db:"...), name...), '>')
}

// theirKey begins to verify a key of the other side (XEP-0220 §2.2.1).
func (l *link) theirKey(p pair, st *xmpp.Stanza) error {
	rule := l.s.policy.Load().For(p.remote)
	key := st.Text()
	switch {
	case l.s.cfg.Local(p.remote): // our own domains never come from outside
		return xmpp.EndStream("invalid-from", "")
	case !l.s.cfg.Local(p.local):
		l.refuseKey(p, "item-not-found", "this server does not serve "+p.local)
		return nil
	case rule.Denied:
		l.refuseKey(p, "policy-violation", "this server does not talk to "+p.remote)
		return nil
	case l.allowed(p):
		l.say(dialbackElement("result", p.local, p.remote, "type", "valid"))
		l.said = true
		return nil
	}
	l.mu.Lock()
	busy := l.checks >= maxPendingDialback
	if !busy {
		l.checks++
	}
	l.mu.Unlock()
	if all := l.s.verifying.Add(1); busy || all > maxVerifying {
		l.s.verifying.Add(-1)
		if !busy {
			l.checked()
		}
		l.refuseKey(p, "resource-constraint", "too many keys at once")
		return nil
	}
	id := l.streamID
	l.s.work(func(ctx context.Context) {
		ctx, stop := context.WithTimeout(ctx, dialbackWithin)
		defer stop()
		l.judgeKey(ctx, p, id, key, rule)
		l.s.verifying.Add(-1)
		l.checked()
	})
	return nil
}

// checked notes that a key of the other side is being verified no more.
func (l *link) checked() {
	l.mu.Lock()
	l.checks--
	l.mu.Unlock()
}

// judgeKey decides whether the other side is who it says. Where its certificate proves that,
// nobody is asked (XEP-0344 §2).
func (l *link) judgeKey(ctx context.Context, p pair, id, key string, rule Rule) {
	verdict := l.judge(ctx, p.remote, nil)
	proof := verdict.Proof
	switch {
	case proof != "":
	case verdict.Refused || !rule.Dialback:
		l.logOdd("a server is not believed", "claims", p.remote, "reason", verdict.Reason, "rule", rule.Why)
		l.refuseKey(p, "not-authorized", "the certificate does not prove "+p.remote+": "+verdict.Reason)
		return
	default:
		result, err := l.s.askAuthority(ctx, l, p, id, key)
		switch {
		case err != nil:
			l.logOdd("a server could not be verified by dialback", "claims", p.remote, "error", err)
			l.refuseKey(p, asFailure(err).condition, unreached(p.remote, err)) // XEP-0220 §2.5
			return
		case result != "valid":
			l.logOdd("a server is not who it says: its own domain knows nothing of it", "claims", p.remote)
			l.write(dialbackElement("result", p.local, p.remote, "type", "invalid"))
			return
		}
		proof = "dialback"
	}
	if !l.allow(p, proof) {
		l.refuseKey(p, "resource-constraint", "too many domains on one stream")
		return
	}
	l.log().Info("a server has proved its domain", "claims", p.remote, "for", p.local, "proof", proof, "reason", verdict.Reason)
	l.write(dialbackElement("result", p.local, p.remote, "type", "valid"))
	l.proved(p, proof)
}

// refuseKey answers a key with an error (XEP-0220 §2.5).
func (l *link) refuseKey(p pair, condition, text string) {
	b := append([]byte(nil), dialbackElement("result", p.local, p.remote, "type", "error")...)
	b = append(b[:len(b)-2], '>')
	b = append(b, xmpp.Refuse(condition, text).Payload()...)
	l.write(append(b, "</db:result>"...))
}

// errUnverified is why the other side does not believe us.
type errUnverified struct{ condition, text string }

func (e *errUnverified) Error() string {
	if e.condition == "invalid" {
		return "the other server does not believe who we are (dialback says invalid): do our DNS records lead to this server?"
	}
	if e.text != "" {
		return "the other server refuses our domain: " + e.condition + " (" + e.text + ")"
	}
	return "the other server refuses our domain: " + e.condition
}

// requestKey asks the other side to let us send for a pair, and waits for the answer
// (XEP-0220 §2.1.1). The reader is at work.
func (l *link) requestKey(ctx context.Context, p pair) error {
	ch := make(chan error, 1)
	l.mu.Lock()
	if l.over || l.asked[p] != nil {
		l.mu.Unlock()
		return errLinkEnded
	}
	l.asked[p] = ch
	l.mu.Unlock()
	l.write(dialbackKeyElement("result", dialbackKey(l.s.secret, p.remote, p.local, l.streamID), p.local, p.remote))
	ctx, stop := context.WithTimeout(ctx, dialbackWithin+5*time.Second)
	defer stop()
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.asked, p)
		l.mu.Unlock()
		return errors.New("the other server has not said in time whether it believes us (dialback)")
	}
}

// keyAnswered takes the answer to a key of ours. What we have not asked is ignored
// (XEP-0220 §3.1).
func (l *link) keyAnswered(p pair, typ string, st *xmpp.Stanza) {
	l.mu.Lock()
	ch := l.asked[p]
	delete(l.asked, p)
	l.mu.Unlock()
	if ch == nil {
		l.logOdd("an answer to a dialback key that was not sent is ignored", "from", p.remote, "to", p.local)
		return
	}
	if typ == "valid" {
		ch <- nil
		return
	}
	e := &errUnverified{condition: typ}
	if el := st.Child(nsDialback, "error"); typ == "error" {
		e.condition, e.text = dialbackError(st, el)
	}
	ch <- e
}

// dialbackError reads the error of an answer; its element is in whatever namespace.
func dialbackError(st *xmpp.Stanza, el xmpp.Element) (condition, text string) {
	condition = "undefined-condition"
	for e := range st.Children {
		if e.Name().Local == "error" {
			el = e
		}
	}
	el.Children(func(c xmpp.Element) bool {
		switch {
		case c.Is(xmpp.NSStanzas, "text"):
			text = oneLine(c.Text())
		case c.Name().Space == xmpp.NSStanzas:
			condition = c.Name().Local
		}
		return true
	})
	return condition, text
}

// askAuthority asks the server of p.remote whether a key of a stream that came to us is its
// own (XEP-0220 §2.1.2).
func (s *Server) askAuthority(ctx context.Context, from *link, p pair, id, key string) (string, error) {
	l := s.outTo(p, from)
	if l == nil {
		var err error
		if l, err = s.verifier(ctx, p); err != nil {
			return "", err
		}
	}
	q := query{p, id}
	ch := make(chan string, 1)
	l.mu.Lock()
	if l.over || l.verify[q] != nil {
		l.mu.Unlock()
		return "", errLinkEnded
	}
	l.verify[q] = ch
	l.spoke = time.Now()
	l.mu.Unlock()
	l.write(dialbackKeyElement("verify", key, p.local, p.remote, "id", id))
	select {
	case result := <-ch:
		if result != "valid" && result != "invalid" { // nothing is said about the key (XEP-0220 §2.5)
			return "", fmt.Errorf("the server of %s could not be asked about a key", p.remote)
		}
		return result, nil
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.verify, q)
		l.mu.Unlock()
		return "", fmt.Errorf("%s has not answered in time", p.remote)
	}
}

// A verifier is a stream to a domain by which nothing is done but to ask about keys; all who
// ask share it.
type verifier struct {
	ready chan struct{} // closed when link or err is there
	link  *link
	err   error
}

// verifierIdle is how long such a stream stays open when nothing is asked.
const verifierIdle = 5 * time.Second

// verifier returns a stream to the server of p.remote, which is opened where there is none.
func (s *Server) verifier(ctx context.Context, p pair) (*link, error) {
	s.mu.Lock()
	v := s.verifiers[p.remote]
	if v != nil {
		s.mu.Unlock()
		select {
		case <-v.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if v.err != nil || !v.link.ended() {
			return v.link, v.err
		}
		s.mu.Lock()
	}
	if other := s.verifiers[p.remote]; other != v { // somebody was faster
		s.mu.Unlock()
		return s.verifier(ctx, p)
	}
	v = &verifier{ready: make(chan struct{})}
	s.verifiers[p.remote] = v
	s.mu.Unlock()
	if v.link, v.err = s.openVerifier(ctx, p); v.err == nil {
		go func() {
			defer s.forget(v.link)
			v.link.live()
			s.noVerifier(p.remote, v)
		}()
	}
	close(v.ready)
	if v.err != nil { // the next one tries again
		s.noVerifier(p.remote, v)
	}
	return v.link, v.err
}

// openVerifier opens a stream to an authoritative server. Its certificate need prove nothing,
// for DNS leads to it; but where signed DNS says that it is another's, it is (RFC 7673 §3.3).
func (s *Server) openVerifier(ctx context.Context, p pair) (*link, error) {
	l, err := s.open(ctx, p)
	if err != nil {
		return nil, err
	}
	if v := l.judge(ctx, p.remote, &l.target); v.Refused {
		l.end(nil)
		close(l.done)
		s.forget(l)
		return nil, refusal("the certificate of %s is not accepted: %s", p.remote, v.Reason)
	}
	l.mu.Lock()
	l.asks = true
	l.mu.Unlock()
	return l, nil
}

// noVerifier forgets a stream that is over, or was not there.
func (s *Server) noVerifier(remote string, v *verifier) {
	s.mu.Lock()
	if s.verifiers[remote] == v {
		delete(s.verifiers, remote)
	}
	s.mu.Unlock()
}

// verifyAnswered takes the answer to a question of ours. It counts only where it matches one
// that was asked on this stream.
func (l *link) verifyAnswered(p pair, typ string, st *xmpp.Stanza) {
	id, _ := st.Attr("id")
	l.mu.Lock()
	ch := l.verify[query{p, id}]
	delete(l.verify, query{p, id})
	l.mu.Unlock()
	if ch == nil {
		l.logOdd("an answer about a dialback key that was not asked is ignored", "from", p.remote, "to", p.local)
		return
	}
	ch <- typ
}

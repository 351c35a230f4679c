package c2s

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"parley/auth"
	"parley/xmpp"
)

// sasl2 takes <authenticate/> (XEP-0388 §2.3): authentication and, inline, the binding of
// a resource (XEP-0386 §3.2), in as many round trips as the mechanism needs.
func (c *conn) sasl2(st *xmpp.Stanza) error {
	d := dialect{nsSASL2}
	l := c.login
	mechanism, _ := st.Attr("mechanism")
	l.agent = xmpp.ParseUserAgent(st.Child(nsSASL2, "user-agent"))
	if !c.upToDate(st) {
		return c.outdated()
	}
	var initial []byte
	var err error
	if e := st.Child(nsSASL2, "initial-response"); !e.IsZero() {
		if initial, err = decode(strings.TrimSpace(e.Text())); err != nil {
			return c.failed(d, err)
		}
	}
	v, err := visit(st, mechanism, l.agent)
	if err != nil {
		return c.failed(d, err)
	}
	x, last, err := c.exchange(d, mechanism, initial)
	if err == nil && l.from != "" && x.Account().JID.String() != l.from { // XEP-0388 §2.3: the stream's 'from' must match
		err = &auth.Failure{Condition: "invalid-authzid"}
	}
	if err != nil {
		return c.failed(d, err)
	}
	if last, err = c.upgrades(x, upgradesOf(st), last); err != nil {
		return err
	}
	token, err := x.Admit(l.ctx, v)
	if err != nil {
		return c.failed(d, err)
	}
	l.account, l.shown, l.known = x.Account(), x, true
	c.s.SetLimits(c.limits())
	var failed, bound xmpp.Payload
	if req := st.Child(nsSM, "resume"); !req.IsZero() { // before binding (XEP-0198 §9.2)
		var s *session
		if s, failed, err = c.reclaim(req.Attr("previd"), req.Attr("h")); err != nil {
			return err
		}
		if s != nil {
			return c.reenter(s, s.success(last, req.Attr("previd"), token))
		}
	}
	if req := st.Child(nsBind2, "bind"); !req.IsZero() {
		if bound, err = c.bind2(req); err != nil {
			return err
		}
	}
	identity := l.account.JID
	if c.sender != nil {
		identity = c.jid
	}
	var b xmpp.Builder // XEP-0388 §2.6.1
	b.Open(nsSASL2, "success")
	if last != nil {
		b.Leaf("", "additional-data", base64.StdEncoding.EncodeToString(last))
	}
	b.Leaf("", "authorization-identifier", identity.String())
	b.Raw(failed).Raw(bound)
	appendToken(&b, token)
	answer := c.appendFeatures(b.Payload()) // no restart: features follow at once
	if c.sender != nil {
		return c.enter(answer)
	}
	return c.out.write(answer)
}

// bind2 binds a resource inline. Its name is the client's tag and a random part
// (XEP-0386 §3.2.1). What else it asks for is enabled at once.
func (c *conn) bind2(req xmpp.Element) (xmpp.Payload, error) {
	tag := req.ChildText(nsBind2, "tag")
	id := strings.ToLower(rand.Text())
	resource := id
	if tag != "" {
		resource = tag + "/" + id
	}
	bound, err := c.bind(resource, req)
	var refused *xmpp.Error
	if errors.As(err, &refused) && refused.Condition == "bad-request" {
		bound, err = c.bind(id, req) // the tag is no valid resource; it is only a SHOULD
	}
	if errors.As(err, &refused) {
		return nil, xmpp.EndStream("resource-constraint", "%s", refused.Text)
	}
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	return b.Open(nsBind2, "bound").Raw(bound).Payload(), nil
}

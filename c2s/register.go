package c2s

import (
	"errors"

	"parley/auth"
	"parley/xmpp"
)

// register takes in-band registration before login (XEP-0077 §3.1), where the operator
// has switched it on.
func (c *conn) register(st *xmpp.Stanza) error {
	p, refused := c.registration(st)
	var answer *xmpp.Stanza
	if refused != nil {
		answer = xmpp.Bounce(st, refused)
	} else {
		answer = xmpp.Result(st, p)
	}
	if answer == nil {
		return nil
	}
	answer.From, answer.To = xmpp.JID{}, xmpp.JID{}
	return c.out.write(c.s.Append(nil, answer))
}

func (c *conn) registration(st *xmpp.Stanza) (xmpp.Payload, *xmpp.Error) {
	q := st.Payload()
	switch st.Type {
	case "get":
		var b xmpp.Builder
		b.Open(nsRegister, "query").Leaf("", "instructions", "Choose a user name and a password.")
		return b.Open("", "username").Close().Open("", "password").Close().Payload(), nil
	case "set":
	default: // a result or an error, which Bounce leaves unanswered
		return nil, xmpp.Refuse("bad-request", "")
	}
	name, password := q.ChildText("", "username"), q.ChildText("", "password")
	if f, ok := xmpp.ParseForm(q.Child(xmpp.NSForm, "x")); ok && name == "" { // XEP-0077 §6
		name, password = f.Value("username"), f.Value("password")
	}
	if name == "" || password == "" { // XEP-0077 §3.1.1
		return nil, xmpp.Refuse("not-acceptable", "a user name and a password are needed")
	}
	jid, err := xmpp.NewJID(name, c.login.host, "")
	if err != nil || jid.Local() == "" {
		return nil, xmpp.Refuse("not-acceptable", "this user name has signs that are not allowed")
	}
	ctx := c.login.ctx
	_, taken, err := c.srv.cfg.Accounts.Get(ctx, jid) // before anything costs
	switch {
	case err != nil:
		return nil, xmpp.Failure(err)
	case taken, c.set.Reserved != nil && c.set.Reserved(jid): // an administrator's name is nobody else's
		return nil, xmpp.Refuse("conflict", "this user name is taken") // XEP-0077 §3.1.1
	}
	if !c.srv.mayRegister(c.addr, c.set.RegisterPerDay) {
		return nil, &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "too many new accounts from this address; try tomorrow"}
	}
	var bad *auth.PasswordError
	_, err = c.srv.cfg.Accounts.Create(ctx, jid, password)
	switch {
	case errors.Is(err, auth.ErrExists): // XEP-0077 §3.1
		return nil, xmpp.Refuse("conflict", "this user name is taken")
	case errors.As(err, &bad):
		return nil, xmpp.Refuse("not-acceptable", bad.Reason)
	case err != nil:
		c.log().Error("an account could not be made", "error", err)
		return nil, xmpp.Failure(err)
	}
	c.srv.cfg.Router.Joined(jid)
	c.log().Info("account registered in-band", "account", jid.String())
	return nil, nil
}

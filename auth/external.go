package auth

import (
	"context"
	"slices"

	"parley/xmpp"
)

// certified returns the accounts of the host that the client's certificate names. The
// only names that count are XmppAddr (RFC 6120 §13.7.2.2): a common name or a subject is
// never an identity.
func certified(ch Channel) []xmpp.JID {
	if !ch.TLS || len(ch.Certs) == 0 {
		return nil
	}
	var list []xmpp.JID
	for _, addr := range XMPPAddrs(ch.Certs[0]) {
		jid, err := xmpp.ParseJID(addr)
		if err == nil && names(jid) && jid.Domain() == ch.Host && !slices.Contains(list, jid) {
			list = append(list, jid)
		}
	}
	return list
}

// external is the mechanism EXTERNAL for clients (RFC 4422, XEP-0178 §2). Its
// message is the authorization identity, which may be empty.
func (x *Exchange) external(ctx context.Context, in []byte) ([]byte, bool, error) {
	list := certified(x.ch)
	switch {
	case len(in) > 0:
		z, err := xmpp.ParseJID(string(in))
		if err != nil || !slices.Contains(list, z) {
			return nil, false, badAuthzid("the certificate does not name the authorization identity")
		}
		x.claimed = z
	case len(list) == 1:
		x.claimed = list[0]
	default:
		return nil, false, badAuthzid("the certificate names several accounts and the client none")
	}
	if err := x.brake(ctx, true); err != nil {
		return nil, false, err
	}
	acc, found, err := x.a.accounts.Get(ctx, x.claimed)
	if err != nil {
		return nil, false, err
	}
	if !found {
		return nil, false, refused("the certificate is for an account that does not exist")
	}
	return nil, true, x.accept(acc)
}

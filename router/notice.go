package router

import (
	"context"

	"parley/xmpp"
)

// A Notice is something that was said where an account belongs, as in a room that it is a member
// of, and that none of its sessions is given for that. Features may tell of it in another way.
type Notice struct {
	Stanza  *xmpp.Stanza // what was said; its 'from' is who has said it, as the account may know them
	Mention bool         // the account is spoken to by name
}

// Number returns the number of the account with this bare JID; found is false where there is
// none. It may wait for storage.
func (r *Router) Number(ctx context.Context, bare xmpp.JID) (id int64, found bool, err error) {
	return r.dir.Lookup(ctx, bare)
}

// Heeded reports whether any feature has a use for notices to the account with this number. It
// never waits, and costs little: who has something for thousands asks it first.
func (r *Router) Heeded(account int64) bool {
	for _, heeds := range r.heeds {
		if heeds(account) {
			return true
		}
	}
	return false
}

// Notify gives the features a notice to an account, unless the account bars who has spoken, and
// reports whether any has told the account of it. It may wait for storage, never for a peer.
func (r *Router) Notify(ctx context.Context, bare xmpp.JID, n Notice) (told bool, err error) {
	err = r.WithAccount(ctx, bare, func(a *Account) error {
		if a == nil || a.Removed() || r.MayGet(a, n.Stanza.Readdressed(bare, n.Stanza.From)) != nil {
			return nil
		}
		defer r.caught("a notice", nil)
		for _, f := range r.features {
			if f.Noticed != nil && f.Noticed(a, n) {
				told = true
			}
		}
		return nil
	})
	return told, err
}

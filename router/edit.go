package router

import (
	"context"

	"parley/storage"
	"parley/xmpp"
)

// An Edit is one change of what an account publishes for others (XEP-0163): all of it in one
// transaction, in a turn of the account. It is valid while that transaction is written, which may
// be twice.
type Edit interface {
	Tx() *storage.Tx
	Account() *Account
	By() xmpp.JID // who changes it

	// IDs returns the ids of what is kept at a node, in the order of publication; none where there
	// is no such node. All of a node's payloads are too much to be read with the writer held.
	IDs(node string) ([]string, error)
	// Item returns an item by its id; found is false where there is none.
	Item(node, id string) (it Publication, found bool, err error)
	// Last returns the item that was published last at a node; found is false where there is none.
	Last(node string) (it Publication, found bool, err error)
	// Public reports whether everybody may read a node.
	Public(node string) (bool, error)
	// ForContacts reports whether all who may see the account's presence may read a node.
	ForContacts(node string) (bool, error)
	// Publish keeps an item, which others are told of behind the commit, as of any. A node that
	// is not there is made: with audience Everybody it is for everybody; with Oneself it is the
	// account's alone, and so becomes one that is there and is not (XEP-0411 §5). It does not
	// come back to Router.Published.
	Publish(node string, it Publication, to Audience) error
	// Retract deletes an item, if it is there.
	Retract(node, id string) error
	// Then has fn called in the turn, behind the commit and before anybody is told.
	Then(fn func(*Turn))
}

// A Publication is an item of a node.
type Publication struct {
	ID      string
	Payload xmpp.Payload
}

// An Audience says for whom a node is made.
type Audience uint8

const (
	Everybody Audience = iota
	Oneself
)

// Edit changes what an account publishes, and whatever else do writes, in one transaction, and
// tells who is to hear of it. It is called in a turn of the account. In a house where nothing is
// published the rest is written all the same.
func (r *Router) Edit(ctx context.Context, t *Turn, a *Account, by xmpp.JID, do func(Edit) error) error {
	for _, f := range r.features {
		if f.Edits != nil {
			return f.Edits(ctx, t, a, by, do)
		}
	}
	var e *plainEdit
	err := t.Write(ctx, func(tx *storage.Tx) error {
		e = &plainEdit{tx: tx, a: a, by: by}
		return do(e)
	})
	if err == nil {
		for _, fn := range e.then {
			fn(t)
		}
	}
	return err
}

// Published asks the features that follow a node what is to be changed elsewhere: the items of
// these ids were published or deleted there or, where ids is nil, the node was configured, emptied
// or deleted, and any of its items may be gone. What they write is written with the change or,
// where one of them fails, neither is.
func (r *Router) Published(e Edit, node string, ids []string) error {
	for _, fn := range r.follows[node] {
		if err := fn(e, ids); err != nil {
			return err
		}
	}
	return nil
}

// Followed reports whether any feature follows what is published at a node: otherwise there is no
// need of an Edit.
func (r *Router) Followed(node string) bool { return len(r.follows[node]) > 0 }

// plainEdit is an Edit in a house where nothing is published.
type plainEdit struct {
	tx   *storage.Tx
	a    *Account
	by   xmpp.JID
	then []func(*Turn)
}

func (e *plainEdit) Tx() *storage.Tx                                          { return e.tx }
func (e *plainEdit) Account() *Account                                        { return e.a }
func (e *plainEdit) By() xmpp.JID                                             { return e.by }
func (e *plainEdit) IDs(string) ([]string, error)                             { return nil, nil }
func (e *plainEdit) Item(_, _ string) (it Publication, found bool, err error) { return it, false, nil }
func (e *plainEdit) Last(string) (it Publication, found bool, err error)      { return it, false, nil }
func (e *plainEdit) Public(string) (bool, error)                              { return false, nil }
func (e *plainEdit) ForContacts(string) (bool, error)                         { return false, nil }
func (e *plainEdit) Publish(string, Publication, Audience) error              { return nil }
func (e *plainEdit) Retract(string, string) error                             { return nil }
func (e *plainEdit) Then(fn func(*Turn))                                      { e.then = append(e.then, fn) }

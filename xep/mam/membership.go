package mam

import (
	"parley/storage"
	"parley/xmpp"
)

// A Membership is a room that an account belongs to, whether it is in it or not: a conversation
// of its inbox.
type Membership struct {
	Room    xmpp.JID
	Archive int64
	Since   storage.ID                 // what was said before is not unread
	View    func(stanza []byte) []byte // what the account may see of a message; nil: all
}

// Follow has those rooms be in the inbox of an account (XEP-0430) that of returns, which runs in
// a transaction that only reads. It is called before the first stanza.
func (k *Keeper) Follow(of func(tx *storage.Tx, bare xmpp.JID) ([]Membership, error)) {
	k.f.memberships = of
}

// Seen notes that an account has read the archive of a room up to a message. That only moves on
// (XEP-0333 §5).
func (k *Keeper) Seen(tx *storage.Tx, account, archive int64, id storage.ID) error {
	return displayed(tx, account, archive, id)
}

// withRooms adds rooms to conversations, with what is unread in them. A room may be among these
// already, by what it or its occupants have said to the account alone: that is one conversation,
// as it has one address, and who has read the room has read what came before (XEP-0430 §4).
func (in *inbox) withRooms(tx *storage.Tx, owner int64, all, rooms []conversation) ([]conversation, error) {
	if len(rooms) == 0 {
		return all, nil
	}
	at := make(map[int64]int, len(all))
	for i, c := range all {
		at[c.peer] = i
	}
	for _, c := range rooms {
		if err := c.countRoom(tx, owner); err != nil {
			return nil, err
		}
		in.note(c)
		peer, err := peerOf(tx, c.room.Room.String())
		if err != nil {
			return nil, err
		}
		i, there := at[peer]
		if !there {
			all = append(all, c)
			continue
		}
		if err := c.absorb(tx, owner, all[i]); err != nil {
			return nil, err
		}
		all[i] = c
	}
	return all, nil
}

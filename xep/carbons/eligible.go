package carbons

import (
	"hash/maphash"
	"slices"
	"sync"

	"parley/xmpp"
)

const (
	nsHints      = "urn:xmpp:hints"                        // XEP-0334
	nsStates     = "http://jabber.org/protocol/chatstates" // XEP-0085
	nsReceipts   = "urn:xmpp:receipts"                     // XEP-0184
	nsMarkers    = "urn:xmpp:chat-markers:0"               // XEP-0333
	nsInvitation = "jabber:x:conference"                   // XEP-0249
	nsRoomUser   = "http://jabber.org/protocol/muc#user"   // XEP-0045
)

// direction says which way a message goes, seen from one account.
type direction byte

const (
	outbound direction = 'o'
	inbound  direction = 'i'
)

// eligible reports whether a message is one for copies, by itself (XEP-0280 §6.1). An error
// is none: see talk.
//
// A message that is a carbon already, or says so, is none: only the server makes carbons,
// and what a user makes up reaches whom it is addressed to, as the user's, and nobody else.
func eligible(st *xmpp.Stanza, d direction) bool {
	if st.Type == "groupchat" || st.Type == "error" || st.Has(nsHints, "no-copy") { // XEP-0334 §4.3
		return false
	}
	im, invitation, room := false, false, false
	for e := range st.Children {
		switch n := e.Name(); n.Space {
		case ns:
			if n.Local == "private" || n.Local == "sent" || n.Local == "received" {
				return false
			}
		case nsStates, nsReceipts, nsMarkers:
			im = true
		case nsInvitation:
			invitation = invitation || n.Local == "x"
		case nsRoomUser:
			room = room || n.Local == "x"
			invitation = invitation || n.Local == "x" && !e.Child(nsRoomUser, "invite").IsZero()
		case "":
			im = im || n.Local == "body" && normal(st.Type)
		}
	}
	switch {
	case invitation:
		return true
	case room && d == inbound && st.From.Resource() != "":
		return false // the room tells all clients that are in it
	}
	return im || st.Type == "chat"
}

// normal reports whether a type is that, as an unknown one is (RFC 6121 §5.2.2).
func normal(typ string) bool { return typ != "chat" && typ != "headline" }

// remembered is how many messages of an account are known by which an error can be told to
// be in response to one that was eligible.
const remembered = 128

// A talk is what is remembered of an account of which some device has wanted copies since
// it came into use. Anyone may use it.
type talk struct {
	seed maphash.Seed

	mu   sync.Mutex // a leaf
	last []uint64   // keys of messages, up to remembered
	next int        // the oldest of them, once there are so many
}

func newTalk() *talk { return &talk{seed: maphash.MakeSeed()} }

// eligible reports whether a message of the account is one for copies, and remembers it
// then. An error is, if it is in response to such a message (XEP-0280 §6.1): it comes from
// the same address, with the same id, the other way. What the error contains proves
// nothing (XEP-0280 §10.3).
func (t *talk) eligible(st *xmpp.Stanza, d direction) bool {
	if st.Type == "error" {
		return st.ID != "" && t.answers(st, d)
	}
	if !eligible(st, d) {
		return false
	}
	if st.ID != "" {
		t.remember(st, d)
	}
	return true
}

func (t *talk) remember(st *xmpp.Stanza, d direction) {
	k := t.key(st, d, d)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) < remembered {
		t.last = append(t.last, k)
		return
	}
	t.last[t.next] = k
	t.next = (t.next + 1) % remembered
}

func (t *talk) answers(st *xmpp.Stanza, d direction) bool {
	other := inbound
	if d == inbound {
		other = outbound
	}
	k := t.key(st, d, other)
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.last, k)
}

// key stands for the peer of a message that goes one way, and its id, in a message that
// went as told.
func (t *talk) key(st *xmpp.Stanza, goes, told direction) uint64 {
	peer := st.To
	if goes == inbound {
		peer = st.From
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteByte(byte(told))
	h.WriteString(peer.Bare().String())
	h.WriteByte(0)
	h.WriteString(st.ID)
	return h.Sum64()
}

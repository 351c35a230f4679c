package mam

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"parley/xmpp"
)

// In rows of rooms, peer stands for the nick and resource for the real address of who has said
// it: as numbers that are made of these, so that a stranger's nick leaves nothing behind. Two
// nicks with one number are not to be found by trying.

// numberOfNick returns the number of an occupant's nick.
func numberOfNick(from xmpp.JID) int64 { return hashed(from.Resource()) }

// numberOfWho returns the number of a bare address, 0 for nobody's.
func numberOfWho(who xmpp.JID) int64 {
	if who.IsZero() {
		return 0
	}
	return hashed(who.Bare().String())
}

// hashed returns a positive number.
func hashed(s string) int64 {
	sum := sha256.Sum256([]byte(s))
	return max(1, int64(binary.BigEndian.Uint64(sum[:8])>>1))
}

// spoken narrows a stretch of a room's archive to what one has said: with names them by the
// nick, or, to who may know it, by the real address (XEP-0313 §4.1.1).
func (s *stretch) spoken(w filter) error {
	switch {
	case w.with == w.room:
	case w.with.Bare() == w.room:
		s.peer = numberOfNick(w.with)
	case !w.real:
		return xmpp.Refuse("forbidden", "the real addresses of this room's people are not told")
	default:
		s.resource = numberOfWho(w.with)
		if !w.with.IsBare() {
			s.only = func(r entry) bool { return r.saidBy(w.with) }
		}
	}
	return nil
}

// isSpoken reports whether it is what one has said in a room. That is found in the index of
// words: rows in an order of their own would cost as much again as all else when a message is
// added, and nobody asks often.
func (s stretch) isSpoken() bool { return s.owner < 0 && (s.peer != 0 || s.resource != anyResource) }

// nickWord and whoWord are by what the index knows who speaks in the stretch's room.
func (s stretch) nickWord() string { return speakerWord("n", s.peer, s.owner) }

func (s stretch) whoWord() string { return speakerWord("w", s.resource, s.owner) }

func speakerWord(kind string, number, archive int64) string {
	return kind + strconv.FormatInt(number, 36) + ownerWord(archive)
}

// matchSpeaker is the expression of the index for what one has said.
func (s stretch) matchSpeaker() string {
	if s.peer != 0 {
		return `name : "` + s.nickWord() + `"`
	}
	return `name : "` + s.whoWord() + `"`
}

// saidBy reports whether a message of a room says that it was said by that full JID.
func (r entry) saidBy(who xmpp.JID) bool {
	st, err := xmpp.ParseStanzaBytes(r.stanza)
	if err != nil {
		return false
	}
	j, err := xmpp.ParseJID(st.Child(nsRoomUser, "x").Child(nsRoomUser, "item").Attr("jid"))
	return err == nil && j == who
}

// noStore has servers on the way not keep a result: it can be asked for once more, and may not
// come behind the answer, as what waits on the disk does (XEP-0334 §4.2).
const noStore = "<no-store xmlns='" + nsHints + "'/>"

// roomResult is the message that carries one of a room's archive (XEP-0313 §4.2).
func (f *feature) roomResult(q Question, queryID string, r entry) *xmpp.Stanza {
	result := f.written(queryID, r)
	st := xmpp.NewEnvelope(xmpp.Message, result)
	if !f.router.Serves(q.Stanza.From.Domain()) {
		st = xmpp.NewStanza(xmpp.Message, append(result, noStore...))
	}
	st.To, st.From = q.Stanza.From, q.Room
	return st
}

package muc

import (
	"context"
	"strconv"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// heard is a message that who enters is told of (XEP-0045 §7.2.13).
type heard struct {
	st *xmpp.Stanza // with <delay/>, from the occupant
	at time.Time
	id string // under which the archive has it; "" where it does not
}

// archive is the number under which the room's archive is kept.
func (r *room) archive() int64 { return -int64(r.id) }

func (t *turn) entryOf(m *saying) mam.Entry {
	return mam.Entry{Archive: t.archive(), From: m.by.jid, Who: m.by.real, Stanza: m.row, Text: m.text}
}

// remember adds a message to what who enters is told.
func (t *turn) remember(out *xmpp.Stanza) {
	most := t.historyLength()
	if most == 0 {
		t.history = nil
		return
	}
	at := t.now()
	t.history = append(t.history, heard{st: out.With(xmpp.Delay(t.jid, at)), at: at, id: stanzaID(out, t.jid)})
	if n := len(t.history) - most; n > 0 {
		clear(t.history[:n])
		t.history = t.history[n:]
	}
}

// stanzaID returns the id that the room has given a message.
func stanzaID(st *xmpp.Stanza, room xmpp.JID) (id string) {
	for e := range st.Children {
		if e.Is(nsStanzaID, "stanza-id") && e.Attr("by") == room.String() {
			id = e.Attr("id")
		}
	}
	return id
}

func (t *turn) historyLength() int { return min(t.cfg.History, t.settings().History) }

// readHistory fills the history from the archive, when the room comes into memory.
func (r *room) readHistory(tx *storage.Tx) error {
	if !r.cfg.Archive {
		return nil
	}
	list, err := r.s.cfg.Archives.Last(tx, r.archive(), min(r.cfg.History, r.settings().History), time.Time{})
	for _, k := range list {
		st, wrong := xmpp.ParseStanzaBytes(k.Stanza)
		if wrong != nil || k.Tombstone {
			continue
		}
		id := r.s.cfg.Archives.Opaque(k.ID)
		var b xmpp.Builder
		st = withoutReal(st).With(b.Open(nsStanzaID, "stanza-id", "by", r.jid.String(), "id", id).Close().
			Raw(xmpp.Delay(r.jid, k.ID.Time())).Payload())
		r.history = append(r.history, heard{st: st, at: k.ID.Time(), id: id})
	}
	return err
}

// withoutReal takes the real address off a message of the archive.
func withoutReal(st *xmpp.Stanza) *xmpp.Stanza {
	return st.Without(func(e xmpp.Element) bool { return e.Is(nsUser, "x") })
}

// recall tells a seat what was said, as far as it wants to know (XEP-0045 §7.2.14).
func (t *turn) recall(want xmpp.Element, s *seat) {
	list := t.history
	if n, ok := number(want, "maxstanzas"); ok && n < len(list) {
		list = list[len(list)-n:]
	}
	since := time.Time{}
	if n, ok := number(want, "seconds"); ok {
		since = t.now().Add(-time.Duration(min(n, 1<<31)) * time.Second)
	}
	if at, err := time.Parse(time.RFC3339Nano, want.Attr("since")); err == nil && at.After(since) {
		since = at
	}
	chars, limited := number(want, "maxchars")
	begin := len(list)
	for begin > 0 && !list[begin-1].at.Before(since) {
		out := list[begin-1].st
		if chars -= len(out.Readdressed(s.jid, out.From).String()); limited && chars < 0 { // all of the stanza counts
			break
		}
		begin--
	}
	for _, h := range list[begin:] {
		t.say(h.st.Readdressed(s.jid, h.st.From))
	}
}

// number reads a limit of <history/>.
func number(e xmpp.Element, name string) (int, bool) {
	if e.IsZero() {
		return 0, false
	}
	n, err := strconv.Atoi(e.Attr(name))
	return n, err == nil && n >= 0
}

// A subject is what a room talks about (XEP-0045 §8.1).
type subject struct {
	text string
	by   xmpp.JID // room/nick
	id   string   // of the occupant (XEP-0421 §3.2)
	at   time.Time
}

// tellSubject tells a seat the subject, which ends what is told to who enters (XEP-0045
// §7.2.15).
func (t *turn) tellSubject(s *seat) {
	var b xmpp.Builder
	b.Leaf("", "subject", t.subject.text)
	from := t.jid
	if !t.subject.at.IsZero() {
		b.Open(nsOccupantID, "occupant-id", "id", t.subject.id).Close().Raw(xmpp.Delay(t.jid, t.subject.at))
		from = t.subject.by
	}
	st := xmpp.NewStanza(xmpp.Message, b.Payload())
	st.Type = "groupchat"
	t.say(st.Readdressed(s.jid, from))
}

// query answers a query of the room's archive (XEP-0313 §6.1.2). It is read beside the turns of
// the room.
func (t *turn) query(q request) (xmpp.Payload, error) {
	if !t.mayRead(q) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	real := t.cfg.NonAnonymous || q.aff >= admin || q.seat != nil && q.seat.occ.role == moderator
	ask := mam.Question{Archive: t.archive(), Room: t.jid, Stanza: q.st, Real: real}
	if !real {
		ask.View = viewWithoutReal
	}
	keeper := t.s.cfg.Archives
	return nil, t.s.beside(q.st, func(ctx context.Context, rd *router.Round) (xmpp.Payload, error) {
		return keeper.Query(ctx, rd, ask)
	})
}

// mayRead reports whether somebody may read the archive: who is in the room, or may be at any
// time. Where a password is wanted that is who is a member.
func (t *turn) mayRead(q request) bool {
	switch {
	case !t.cfg.Archive || q.aff == outcast:
		return false
	case q.seat != nil || q.aff >= member:
		return true
	}
	return !t.cfg.MembersOnly && t.cfg.Password == ""
}

// queryForm tells which fields a query may have.
func (t *turn) queryForm(q request) (xmpp.Payload, error) {
	if !t.mayRead(q) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	return t.s.cfg.Archives.Form(), nil
}

// metadata tells where the archive begins and ends.
func (t *turn) metadata(q request) (xmpp.Payload, error) {
	if !t.mayRead(q) {
		return nil, xmpp.Refuse("forbidden", "")
	}
	archive, keeper := t.archive(), t.s.cfg.Archives
	return nil, t.s.beside(q.st, func(ctx context.Context, _ *router.Round) (xmpp.Payload, error) {
		return keeper.Metadata(ctx, archive)
	})
}

// viewWithoutReal is a message of the archive without the real address of who said it.
func viewWithoutReal(stanza []byte) []byte {
	st, err := xmpp.ParseStanzaBytes(stanza)
	if err != nil {
		return stanza[:0]
	}
	return withoutReal(st).AppendNS(nil, xmpp.NSClient)
}

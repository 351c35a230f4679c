package muc

import (
	"time"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// Namespaces of what takes messages back.
const (
	nsRetract    = "urn:xmpp:message-retract:1" // XEP-0424
	nsRetractOld = "urn:xmpp:message-retract:0"
)

// stampForm is how times are written (XEP-0082 §3.2).
const stampForm = "2006-01-02T15:04:05.000Z"

// takeBack puts a tombstone in the place of the message that a retraction names, in the
// transaction that keeps the retraction (XEP-0424 §4, §5). Whoever has the same occupant id has
// said it, whatever the nickname was; a retraction by anybody else is a message like others,
// which clients see to be nothing more.
func (t *turn) takeBack(tx *storage.Tx, m *saying) error {
	m.gone = ""
	name := m.st.Child(nsRetract, "retract").Attr("id")
	if name == "" || m.row == nil {
		return nil
	}
	k, was, err := t.findSaid(tx, name)
	if err != nil || was == nil || k.Tombstone || sayerOf(was) != m.by.id {
		return err
	}
	var b xmpp.Builder
	b.Open(nsRetract, "retracted", "id", m.st.ID, "stamp", stamp(m.id.Time()))
	m.gone = t.s.cfg.Archives.Opaque(k.ID)
	return t.bury(tx, k, was, b.Payload())
}

// findSaid returns what an occupant has said, by the id that the room gave it; nil where there
// is no such thing.
func (t *turn) findSaid(tx *storage.Tx, name string) (mam.Kept, *xmpp.Stanza, error) {
	k, found, err := t.s.cfg.Archives.Find(tx, t.archive(), name)
	if err != nil || !found {
		return k, nil, err
	}
	was, err := xmpp.ParseStanzaBytes(k.Stanza)
	if err != nil || was.From.IsBare() { // what the room itself has said stays
		return k, nil, err
	}
	return k, was, nil
}

// sayerOf returns the occupant id of who has said an archived message.
func sayerOf(st *xmpp.Stanza) string { return st.Child(nsOccupantID, "occupant-id").Attr("id") }

// bury puts what remains of a message in its place: who said it, and why it is not there any
// more (XEP-0424 §4, XEP-0425 §4).
func (t *turn) bury(tx *storage.Tx, k mam.Kept, was *xmpp.Stanza, retracted xmpp.Payload) error {
	var b xmpp.Builder
	if id := sayerOf(was); id != "" {
		b.Open(nsOccupantID, "occupant-id", "id", id).Close()
	}
	b.Raw(retracted)
	if x := was.Child(nsUser, "x"); !x.IsZero() {
		b.Raw(x.Payload()) // the real address, for who may know it
	}
	stone := xmpp.NewStanza(xmpp.Message, b.Payload())
	stone.From, stone.ID, stone.Type = was.From, was.ID, was.Type
	return t.s.cfg.Archives.Replace(tx, t.archive(), k.ID, stone.AppendNS(nil, xmpp.NSClient))
}

// unsay takes a message out of what newcomers are told (XEP-0424 §5).
func (t *turn) unsay(name string) {
	for i, h := range t.history {
		if h.id == name {
			t.room.history = append(append([]heard(nil), t.history[:i]...), t.history[i+1:]...)
			return
		}
	}
}

// stamp is a time as it is written in a tombstone.
func stamp(at time.Time) string { return at.UTC().Format(stampForm) }

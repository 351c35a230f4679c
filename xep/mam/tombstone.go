package mam

import (
	"parley/storage"
	"parley/xmpp"
)

// follow does what follows from a message that has just been kept, in the transaction that
// keeps it: a retraction takes its message out of the archives, and what the owner has said
// or displayed says how far the conversation was read. Most messages cost a look at their
// children. parts are the rows that it has.
func (f *feature) follow(tx *storage.Tx, id storage.ID, st *xmpp.Stanza, parts []part) error {
	if st.Has(nsRetract, "retract") {
		if err := f.retract(tx, id, st, parts); err != nil {
			return err
		}
	}
	if !st.Has(nsMarkers, "displayed") && !st.Has(nsMarkers, "acknowledged") {
		return nil
	}
	for _, p := range parts {
		if p.flags&(incoming|outgoing) == outgoing {
			if err := f.marked(tx, st, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// A part is one account's row of a message.
type part struct {
	owner, peer int64
	flags       flags
	resource    int64 // the peer's, as a hash
}

// retract puts a tombstone in the place of the message that a retraction names (XEP-0424
// §4). Only who has sent a message, in that conversation, may retract it (XEP-0424 §5). Of
// several with the same id the newest is meant (XEP-0424 §6.1).
func (f *feature) retract(tx *storage.Tx, id storage.ID, st *xmpp.Stanza, parts []part) error {
	name := st.Child(nsRetract, "retract").Attr("id")
	for _, p := range parts {
		e, was, err := find(tx, p, st.From, name, id)
		if err != nil {
			return err
		}
		if was == nil || e.flags&tombstone != 0 {
			continue
		}
		f.shrunk.Add(1)
		f.exchange.doubt()
		return bury(tx, e.id, stone(was, st, id).AppendNS(nil, xmpp.NSClient))
	}
	return nil
}

// stone is what stands in the place of a message that was retracted: its addresses, its id,
// and which message has retracted it when (XEP-0424 §4).
func stone(was, by *xmpp.Stanza, at storage.ID) *xmpp.Stanza {
	var b xmpp.Builder
	b.Open(nsRetract, "retracted", "id", by.ID, "stamp", at.Time().Format(stampForm))
	st := xmpp.NewStanza(xmpp.Message, b.Payload())
	st.To, st.From, st.ID, st.Type = was.To, was.From, was.ID, was.Type
	return st
}

// marked notes that the owner has displayed a conversation up to the message that a marker
// names (XEP-0333 §4.2). One that is not there means nothing (XEP-0333 §5).
func (f *feature) marked(tx *storage.Tx, st *xmpp.Stanza, p part) error {
	marker := st.Child(nsMarkers, "displayed")
	if marker.IsZero() {
		marker = st.Child(nsMarkers, "acknowledged") // of earlier versions (XEP-0333 §11)
	}
	e, was, err := find(tx, p, st.To, marker.Attr("id"), 1<<63-1)
	if err != nil || was == nil {
		return err
	}
	return displayed(tx, p.owner, p.peer, e.id)
}

package mam

import (
	"context"
	"math/rand/v2"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// IndexSome puts n messages into the index, from somewhere in the archive on.
func IndexSome(tx *storage.Tx, n int) error {
	upto, err := indexedUpTo(tx, everybody)
	if err != nil {
		return err
	}
	if err := tx.Exec(sqlSetMark, everybody, upto-storage.ID(rand.IntN(1000))*200_000_000-300_000_000); err != nil {
		return err
	}
	_, err = indexSome(tx, everybody, n)
	if err == nil {
		err = tx.Exec(sqlSetMark, everybody, upto)
	}
	return err
}

// ExchangeSome puts the rows of n messages into the table exchanged.
func ExchangeSome(tx *storage.Tx, n int) (more bool, err error) {
	_, more, err = exchangeSome(tx, n)
	return more, err
}

// ExchangeOf puts up to n rows of an owner there, ahead of the others'.
func ExchangeOf(tx *storage.Tx, owner int64, n int) (int, error) { return exchangeOf(tx, owner, n) }

// Write keeps a message as the feature does: for the first of two owners, or for both.
func Write(tx *storage.Tx, id storage.ID, owners [2]int64, peer int64, f [2]int64, both bool) error {
	n := 2
	if !both {
		n, owners[1] = 1, 0
	}
	if err := addBody(tx, id, owners, []byte("<message xmlns='jabber:client'/>")); err != nil {
		return err
	}
	for i, owner := range owners[:n] {
		if err := addKept(tx, id, part{owner: owner, peer: peer, flags: flags(f[i])}); err != nil {
			return err
		}
	}
	return nil
}

// RemoveRow is removeRow.
func RemoveRow(tx *storage.Tx, owner int64, id storage.ID) error { return removeRow(tx, owner, id) }

// Bury is bury.
func Bury(tx *storage.Tx, id storage.ID) error { return bury(tx, id, []byte("<message/>")) }

// ParseFilter is parseFilter, for its errors.
func ParseFilter(query xmpp.Element) error {
	_, err := parseFilter(query)
	return err
}

// ParsePrefs is parsePrefs, for its errors.
func ParsePrefs(prefs xmpp.Element) error {
	_, err := parsePrefs(prefs)
	return err
}

// MatchText is matchText of the first account.
func MatchText(text string) string { return matchText(1, text) }

// Statements are those that read an archive, with how many values each takes.
func Statements() map[string]string {
	return map[string]string{
		"page": sqlPage, "page back": sqlPageBack, "peer": sqlPeerPage, "peer back": sqlPeerPageBack,
		"first": sqlFirst, "last": sqlLast, "peer first": sqlPeerFirst, "peer last": sqlPeerLast,
		"up to": sqlUpTo, "peer up to": sqlPeerUpTo, "resource": sqlResource, "one": sqlOne, "has": sqlHas, "number": sqlPeer,
		"to index": sqlToIndex, "to index of": sqlToIndexOf, "mark": sqlMark, "search": sqlSearch, "search back": sqlSearchBack,
		"hit count": sqlHitCount, "hit at": sqlHitAt, "room hit count": sqlRoomHitCount, "room hit at": sqlRoomHitAt, "named": sqlNamed, "tail": sqlTail, "unindex": sqlUnindex,
		"prefs": sqlPrefs, "prefs jids": sqlPrefsJIDs,
		"conversations": sqlConversations, "seen": sqlSeen, "behind": sqlBehind, "peer name": sqlPeerName, "last words": sqlLastWords,
		"recount": sqlRecount, "owners": sqlOwners, "first in": sqlFirstIn, "measured": sqlMeasured, "to measure": sqlToMeasure,
		"lighter": sqlLighter, "oldest": sqlOldest, "leaving": sqlLeaving, "body owners": sqlBodyOwners, "add kept": sqlAddKept, "to exchange": sqlToExchange, "to exchange end": sqlToExchangeEnd, "to exchange of": sqlToExchangeOf, "peer end": sqlPeerEnd, "unexchange": sqlUnexchange, "exchange": sqlExchange, "speaker": sqlSpeaker,
		"newest": sqlNewest, "recount room": sqlRecountRoom, "forget room": sqlForgetRoom,
		"last texts": sqlLastTexts, "texts": sqlTexts, "oldest of": sqlOldestOf, "bury": sqlBury, "grave": sqlFlagGrave, "grave there": sqlFlagGraveThere,
	}
}

// A Reader reads the archive of any owner, without a session.
type Reader struct {
	f     *feature
	store *storage.Store
	owner int64
}

// NewReader returns the reader of an owner's archive.
func NewReader(_ []router.Feature, s *storage.Store, owner int64) *Reader {
	return &Reader{&feature{store: s}, s, owner}
}

// A ReaderPage is a page that was read.
type ReaderPage struct {
	IDs          []storage.ID
	Complete     bool
	Index, Count int
}

// Page reads the page that a query asks for.
func (r *Reader) Page(query string) (p ReaderPage, err error) {
	st, err := xmpp.ParseStanza("<iq type='set' id='1'>" + query + "</iq>")
	if err != nil {
		return p, err
	}
	what, err := parseFilter(st.Payload())
	if err != nil {
		return p, err
	}
	paging, err := xmpp.ParsePaging(st.Payload())
	if err != nil {
		return p, err
	}
	var l leaf
	err = r.store.Read(context.Background(), func(tx *storage.Tx) error {
		l, err = r.f.readPage(tx, r.owner, what, wish{paging: paging, max: paging.Max})
		return err
	})
	for _, e := range l.rows {
		p.IDs = append(p.IDs, e.id)
	}
	p.Complete, p.Index, p.Count = l.complete, l.index, l.count
	return p, err
}

// AddAt is Keeper.Add with an id.
func AddAt(k *Keeper, tx *storage.Tx, id storage.ID, e Entry) error { return k.add(tx, id, e) }

// WriteOne keeps a message of one account.
func WriteOne(tx *storage.Tx, owner, peer int64, stanza []byte) error {
	id := tx.NextID()
	if err := addBody(tx, id, [2]int64{owner, 0}, stanza); err != nil {
		return err
	}
	return addKept(tx, id, part{owner: owner, peer: peer, flags: incoming | unread, resource: 1})
}

// IndexNext puts the next n messages into the index.
func IndexNext(tx *storage.Tx, n int) error {
	_, err := indexSome(tx, everybody, n)
	return err
}

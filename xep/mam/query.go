package mam

import (
	"context"
	"slices"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// nsForward is the namespace of forwarded stanzas (XEP-0297).
const nsForward = "urn:xmpp:forward:0"

// stampForm is how the time of a message is written (XEP-0082 §3.2).
const stampForm = "2006-01-02T15:04:05.000Z"

// query answers a query of the asker's own archive: a page of results, and then how far
// that is (XEP-0313 §4). To anybody else an archive is forbidden, whether there is one or
// not (XEP-0313 §8.1).
func (f *feature) query(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() || q.Sender == nil {
		return nil, xmpp.Refuse("forbidden", "")
	}
	ask, err := parseQuery(q.Payload)
	if err != nil {
		return nil, err
	}
	p, err := f.pageOf(ctx, q.Account.ID, q.Account.JID, ask, writes(ctx, q))
	if err != nil {
		return nil, err
	}
	f.eachResult(ask, p.rows, func(r entry) { f.pass(q, r, f.result(q, ask.id, r)) })
	return f.fin(p), nil
}

// An asking is what a query says.
type asking struct {
	filter
	paging xmpp.Paging
	id     string // that the results come back with
	flip   bool   // the newest is to come first
}

// parseQuery reads a query. An error is for the asker.
func parseQuery(query xmpp.Element) (ask asking, err error) {
	if ask.filter, err = parseFilter(query); err != nil {
		return ask, err
	}
	if ask.paging, err = xmpp.ParsePaging(query); err != nil {
		return ask, err
	}
	ask.id, ask.flip = query.Attr("queryid"), !query.Child(nsMAM, "flip-page").IsZero()
	switch {
	case len(ask.id) > maxQueryID:
		return ask, wrong("the queryid is too long")
	case query.Attr("node") != "": // XEP-0313 §6.1.3
		return ask, xmpp.Refuse("feature-not-implemented", "there are no archives of nodes here")
	}
	return ask, nil
}

// A writing runs fn in a transaction and waits for its commit.
type writing func(fn func(*storage.Tx) error) error

func writes(ctx context.Context, q *router.Request) writing {
	return func(fn func(*storage.Tx) error) error { return q.Write(ctx, fn) }
}

// pageOf reads the page that was asked for, in one snapshot. whose is the address that has the
// archive; write is for what is missing in indexes.
func (f *feature) pageOf(ctx context.Context, owner int64, whose xmpp.JID, ask asking, write writing) (p leaf, err error) {
	unstable := false
	if ask.byWords() {
		all, err := f.indexOwner(ctx, owner, write)
		if err != nil {
			return p, err
		}
		unstable = !all
	}
	if ask.byPeer() {
		if err := f.exchange.settle(owner, write); err != nil {
			return p, err
		}
	}
	ctx = context.WithoutCancel(ctx) // a page is short, and to be able to stop costs as much again
	err = f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		p, err = f.readPage(tx, owner, ask.filter, wish{paging: ask.paging, max: f.pageSize(whose, ask.paging.Max)})
		p.unstable = unstable
		return err
	})
	return p, err
}

// readPage reads a page of what a filter selects.
func (f *feature) readPage(tx *storage.Tx, owner int64, what filter, w wish) (p leaf, err error) {
	src, err := f.source(tx, owner, what)
	if err != nil {
		return p, err
	}
	if w.after, err = f.named(tx, owner, w.paging.After); err != nil {
		return p, err
	}
	if w.before, err = f.named(tx, owner, w.paging.Before); err != nil {
		return p, err
	}
	return turn(tx, src, w)
}

// pageSize returns how many messages a page has of which a client wants that many.
func (f *feature) pageSize(whose xmpp.JID, wanted int) int {
	most := f.archive(whose).Page
	if wanted < 0 {
		return min(DefaultPage, most)
	}
	return min(wanted, most)
}

// eachResult calls send for the results, flipped where the client wants the newest first
// (XEP-0313 §4.3.4).
func (f *feature) eachResult(ask asking, list []entry, send func(entry)) {
	if ask.flip {
		for _, r := range slices.Backward(list) {
			send(r)
		}
		return
	}
	for _, r := range list {
		send(r)
	}
}

// pass gives the asker a result. Of a message that waits for the account this is a delivery:
// the asker has it when it has acknowledged the result, and is not given it once more.
func (f *feature) pass(q *router.Request, r entry, st *xmpp.Stanza) {
	if r.flags&incoming != 0 && f.trays.Of(q.Account).waits(r.id) && !q.Sender.Holds(r.id) {
		q.Sender.Hand(q.Round, st, r.id)
		return
	}
	q.Round.Push(q.Sender.Session(), st)
}

// resultLen is about how long a result is beside the stanza in it, in bytes.
const resultLen = 256

// result is the message that carries one of the archive (XEP-0313 §4.2). What was kept is
// well-formed and stands on its own, so it is put in as it is.
func (f *feature) result(q *router.Request, queryID string, r entry) *xmpp.Stanza {
	return f.toAsker(q, xmpp.NewEnvelope(xmpp.Message, f.written(queryID, r)))
}

func (f *feature) toAsker(q *router.Request, st *xmpp.Stanza) *xmpp.Stanza {
	st.To, st.From = q.From(), q.Account.JID
	return st
}

// written is the <result/>, as it is on the wire: a Builder would cost as much as all else.
func (f *feature) written(queryID string, r entry) xmpp.Payload {
	buf := make([]byte, 0, len(r.stanza)+resultLen+len(queryID))
	buf = append(buf, "<result xmlns='"+nsMAM+"'"...)
	if queryID != "" {
		buf = append(buf, " queryid='"...)
		buf = append(xmpp.AppendEscaped(buf, queryID), '\'')
	}
	buf = append(buf, " id='"...)
	buf = append(buf, f.store.Opaque(r.id)...)
	buf = append(buf, "'><forwarded xmlns='"+nsForward+"'><delay xmlns='"+xmpp.NSDelay+"' stamp='"...)
	buf = r.id.Time().AppendFormat(buf, stampForm)
	buf = append(buf, "'/>"...)
	buf = append(buf, r.stanza...)
	return append(buf, "</forwarded></result>"...)
}

// fin says how far the results were everything (XEP-0313 §4.3.2).
func (f *feature) fin(p leaf) xmpp.Payload {
	set := xmpp.Page{Index: p.index, Count: p.count}
	if n := len(p.rows); n > 0 {
		set.First, set.Last = f.store.Opaque(p.rows[0].id), f.store.Opaque(p.rows[n-1].id)
	}
	complete, stable := "", ""
	if p.complete {
		complete = "true"
	}
	if p.unstable {
		stable = "false"
	}
	var b xmpp.Builder
	return b.Open(nsMAM, "fin", "complete", complete, "stable", stable).Raw(set.Payload()).Payload()
}

// queryForm tells which fields a query may have (XEP-0313 §4.1.5).
func (f *feature) queryForm(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	return formOf(true), nil
}

// formOf is the form of an account's archive, or of a room's, where everything is groupchat.
func formOf(account bool) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsMAM, "query").Open(xmpp.NSForm, "x", "type", "form")
	b.Open("", "field", "type", "hidden", "var", "FORM_TYPE").Leaf("", "value", nsMAM).Close()
	for _, fd := range [][2]string{
		{"with", "jid-single"}, {"start", "text-single"}, {"end", "text-single"},
		{"before-id", "text-single"}, {"after-id", "text-single"},
	} {
		b.Open("", "field", "type", fd[1], "var", fd[0]).Close()
	}
	b.Open("", "field", "type", "list-multi", "var", "ids") // open: any value is allowed (XEP-0122 §3.2)
	b.Open("http://jabber.org/protocol/xdata-validate", "validate", "datatype", "xs:string").Open("", "open").Close().Close().Close()
	if account {
		b.Open("", "field", "type", "boolean", "var", "include-groupchat").Close()
	}
	b.Open("", "field", "type", "text-single", "var", fieldText).Close()
	return b.Payload()
}

// metadata tells where the archive begins and ends (XEP-0313 §5).
func (f *feature) metadata(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if !q.Own() {
		return nil, xmpp.Refuse("forbidden", "")
	}
	return f.metadataOf(ctx, q.Account.ID)
}

func (f *feature) metadataOf(ctx context.Context, owner int64) (xmpp.Payload, error) {
	var ends [2]storage.ID
	err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
		ends, err = endsOf(tx, owner)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.writeMetadata(ends), nil
}

func (f *feature) writeMetadata(ends [2]storage.ID) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsMAM, "metadata")
	for i, name := range []string{"start", "end"} {
		if id := ends[i]; id != 0 {
			b.Open("", name, "id", f.store.Opaque(id), "timestamp", id.Time().Format(stampForm)).Close()
		}
	}
	return b.Payload()
}

// endsOf returns the oldest and the newest message of an archive, zeros where it is empty.
func endsOf(tx *storage.Tx, owner int64) (ends [2]storage.ID, err error) {
	all := span{owner: owner, hi: 1<<63 - 1}
	begin, _, err := first(tx, all)
	if err != nil {
		return ends, err
	}
	end, _, err := last(tx, all)
	return [2]storage.ID{begin.id, end.id}, err
}

// inBound has the archive's ends of the very moment in which the session was bound stand in
// <bound/> (XEP-0386 §3.2): what was kept up to then has been handed to those who were
// there, and what is kept from now on is handed to the new session too.
func (f *feature) inBound(t *router.Turn, s *router.Sender, _ xmpp.Element) (p xmpp.Payload) {
	var ends [2]storage.ID
	t.InOrder(func(tx *storage.Tx) (err error) {
		ends, err = endsOf(tx, s.Account().ID)
		return err
	}, func(_ *router.Round, err error) {
		if err == nil {
			p = f.writeMetadata(ends)
		}
	})
	return p
}

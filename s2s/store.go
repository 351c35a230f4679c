package s2s

import (
	"context"
	"sync"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Feature is what the door implements, and what it keeps: the outbox.
func Feature() router.Feature {
	return router.Feature{
		Name: "server streams",
		RFCs: []router.RFC{
			{Number: 6120, Note: "server streams, STARTTLS, SASL EXTERNAL"},
			{Number: 2782, Note: "order and weights of SRV records"},
			{Number: 6698, Note: "TLSA records, with the rules of RFC 7671"},
			{Number: 7671, Note: "TLSA records in use"},
			{Number: 7673, Note: "DANE for domains that SRV records lead from"},
			{Number: 7711, Note: "POSH, where a certificate is required"},
			{Number: 8305, Note: "both families of addresses at once"},
		},
		XEPs: []router.XEP{
			{Number: 178, Version: "1.2", Note: "servers"},
			{Number: 185, Version: "1.0"},
			{Number: 198, Version: "1.6.3", Note: "servers; acknowledgements and resumption"},
			{Number: 220, Version: "1.1.1", Note: "over TLS; several domains on one stream"},
			{Number: 288, Version: "1.0.1"},
			{Number: 344, Version: "0.4", Note: "certificates that prove a domain without dialling back"},
			{Number: 368, Version: "1.1.0", Note: "servers, both ways"},
			{Number: 478, Version: "0.2.0", Note: "servers, both ways"},
			{Number: 495, Version: "0.1.0"},
		},
		Schema: schema,
	}
}

// schema has a row for each message to another domain that may not have arrived there, in
// the order of their ids.
var schema = storage.Schema{Name: "s2s", Steps: []string{`
create table outbox (
	id integer primary key,
	local text not null,
	remote text not null,
	stanza blob not null
);
`}}

// kept is one row of the outbox.
type kept struct {
	pair pair
	id   storage.ID
	st   *xmpp.Stanza
}

// outboxRows reads the outbox, and the ids of rows that cannot be read.
func outboxRows(tx *storage.Tx) (rows []kept, broken []storage.ID, err error) {
	err = tx.Each(`select id, local, remote, stanza from outbox order by id`, nil, func(r *storage.Row) error {
		id := r.ID(0)
		st, err := xmpp.ParseStanzaBytes(r.Bytes(3))
		if err != nil {
			broken = append(broken, id)
			return nil
		}
		rows = append(rows, kept{pair{r.Text(1), r.Text(2)}, id, st})
		return nil
	})
	return rows, broken, err
}

func addOutbox(tx *storage.Tx, id storage.ID, p pair, stanza []byte) error {
	return tx.Exec(`insert into outbox (id, local, remote, stanza) values ($1, $2, $3, $4)`, id, p.local, p.remote, stanza)
}

func removeOutbox(tx *storage.Tx, ids []storage.ID) error {
	for _, id := range ids {
		if err := tx.Exec(`delete from outbox where id = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

// leaving is what is written of a message for another domain.
type leaving struct {
	pair pair
	st   *xmpp.Stanza
}

// Write implements router.Keeping.
func (l *leaving) Write(tx *storage.Tx, id storage.ID) error {
	return addOutbox(tx, id, l.pair, l.st.AppendNS(nil, xmpp.NSServer))
}

// Written implements router.Keeping.
func (l *leaving) Written(storage.ID, error) {}

// Undo implements router.Keeping.
func (l *leaving) Undo(tx *storage.Tx, id storage.ID) error {
	return removeOutbox(tx, []storage.ID{id})
}

// How what has arrived is taken out of the outbox: a little later, many at once. After a
// crash these are sent once more.
const (
	outboxDelay = 100 * time.Millisecond
	outboxBatch = 500
)

// outbox takes out what has arrived.
type outbox struct {
	store   *storage.Store
	through func([]storage.ID) []storage.ID // see router.Router.Through
	fail    func(error)

	mu    sync.Mutex // a leaf
	ids   []storage.ID
	timed bool
}

// gone says that messages have arrived, or were given up. It never waits.
func (o *outbox) gone(ids []storage.ID) {
	if ids = o.through(ids); len(ids) == 0 {
		return
	}
	o.mu.Lock()
	o.ids = append(o.ids, ids...)
	if !o.timed {
		o.timed = true
		time.AfterFunc(outboxDelay, o.write)
	}
	o.mu.Unlock()
}

func (o *outbox) write() {
	o.mu.Lock()
	ids := o.ids
	o.ids, o.timed = nil, false
	o.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), outboxBatch)
		piece := ids[:n]
		ids = ids[n:]
		o.store.Keep(64*n, func(tx *storage.Tx) error { return removeOutbox(tx, piece) }, func(err error) {
			if err != nil {
				o.fail(err)
			}
		})
	}
}

// load reads the outbox as the last run has left it.
func (o *outbox) load(ctx context.Context) (rows []kept, broken []storage.ID, err error) {
	err = o.store.Read(ctx, func(tx *storage.Tx) (err error) {
		rows, broken, err = outboxRows(tx)
		return err
	})
	return rows, broken, err
}

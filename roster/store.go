package roster

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "roster", Steps: []string{`
create table roster_item (
	owner integer not null,
	jid text not null,
	name text not null,
	subscription text not null,
	ask text not null,
	approved integer not null,
	groups text not null,
	primary key (owner, jid)
) without rowid;
create table roster_version (
	owner integer primary key,
	version integer not null
);
`, `
alter table roster_item add column version integer not null default 0;
alter table roster_version add column floor integer not null default 0;
update roster_version set floor = version;
create table roster_gone (
	owner integer not null,
	version integer not null,
	jid text not null,
	primary key (owner, version)
) without rowid;
create table roster_request (
	owner integer not null,
	jid text not null,
	stanza text not null,
	primary key (owner, jid)
) without rowid;
`, `
alter table roster_version add column items integer not null default 0;
alter table roster_version add column bytes integer not null default 0;
update roster_version set (items, bytes) = (
	select count(*), coalesce(sum(octet_length(jid) + octet_length(name) + octet_length(groups)), 0)
	from roster_item where roster_item.owner = roster_version.owner);
`}}

// What is kept beside the items.
const (
	maxRequests = 500  // subscription requests to one account that wait for an answer
	maxRequest  = 2048 // bytes of one request without its addresses
	maxGone     = 200  // removed items of one roster that are remembered for versioning
)

var errManyRequests = errors.New("too many subscription requests wait for an answer")

// items reads a roster, ordered by address.
func items(tx *storage.Tx, owner int64) (list []Item, err error) {
	err = tx.Each(`select jid, name, subscription, ask, approved, groups from roster_item
		where owner = $1 order by jid`, []any{owner}, func(r *storage.Row) error {
		it, err := read(r)
		list = append(list, it)
		return err
	})
	return list, err
}

// item reads one item; found is false where there is none.
func item(tx *storage.Tx, owner int64, jid xmpp.JID) (it Item, found bool, err error) {
	err = tx.Each(`select jid, name, subscription, ask, approved, groups from roster_item
		where owner = $1 and jid = $2`, []any{owner, jid.String()}, func(r *storage.Row) (err error) {
		it, err = read(r)
		found = true
		return err
	})
	return it, found, err
}

// listed reports whether a roster has an item for an address.
func listed(tx *storage.Tx, owner int64, jid xmpp.JID) (bool, error) {
	return tx.One(`select 1 from roster_item where owner = $1 and jid = $2`, []any{owner, jid.String()})
}

func read(r *storage.Row) (it Item, err error) {
	if it.JID, err = xmpp.ParseJID(r.Text(0)); err != nil {
		return it, err
	}
	it.Name, it.Subscription, it.Ask, it.Approved = r.Text(1), r.Text(2), r.Text(3), r.Int(4) != 0
	return it, json.Unmarshal([]byte(r.Text(5)), &it.Groups)
}

// total returns how many items a roster has, and how many bytes these have.
func total(tx *storage.Tx, owner int64) (n, bytes int64, err error) {
	err = tx.Each(`select items, bytes from roster_version where owner = $1`, []any{owner}, func(r *storage.Row) error {
		n, bytes = r.Int(0), r.Int(1)
		return nil
	})
	return n, bytes, err
}

// weigh returns how many bytes an item has; listed is false where there is none.
func weigh(tx *storage.Tx, owner int64, jid xmpp.JID) (bytes int64, listed bool, err error) {
	err = tx.Each(`select octet_length(jid) + octet_length(name) + octet_length(groups) from roster_item
		where owner = $1 and jid = $2`, []any{owner, jid.String()}, func(r *storage.Row) error {
		bytes, listed = r.Int(0), true
		return nil
	})
	return bytes, listed, err
}

// place writes an item. It must find room, unless it is there and only its subscription
// changes (grows is false then). Who has more than the limits have come to allow keeps it.
func (f *feature) place(tx *storage.Tx, owner int64, it Item, grows bool) (version int64, err error) {
	had, weighed, err := total(tx, owner)
	if err != nil {
		return 0, err
	}
	if version, err = put(tx, owner, it); err != nil || !grows {
		return version, err
	}
	n, bytes, err := total(tx, owner)
	l := f.limits()
	if err == nil && (n > had && n > int64(l.Items) || bytes > weighed && bytes > int64(l.Bytes)) { // takes back what was put
		err = &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "the roster is full"}
	}
	return version, err
}

// put writes an item and returns the roster's new version.
func put(tx *storage.Tx, owner int64, it Item) (version int64, err error) {
	groups, err := json.Marshal(it.Groups)
	if err != nil {
		return 0, err
	}
	approved := int64(0)
	if it.Approved {
		approved = 1
	}
	bytes, listed, err := weigh(tx, owner, it.JID)
	if err != nil {
		return 0, err
	}
	more := int64(1)
	if listed {
		more = 0
	}
	bytes = int64(len(it.JID.String())+len(it.Name)+len(groups)) - bytes
	if version, err = advance(tx, owner, more, bytes); err != nil {
		return 0, err
	}
	if err = tx.Exec(`delete from roster_gone where owner = $1 and jid = $2`, owner, it.JID.String()); err != nil {
		return 0, err
	}
	return version, tx.Exec(`insert into roster_item (owner, jid, name, subscription, ask, approved, groups, version)
		values ($1, $2, $3, $4, $5, $6, $7, $8)
		on conflict (owner, jid) do update set name = excluded.name, subscription = excluded.subscription,
			ask = excluded.ask, approved = excluded.approved, groups = excluded.groups, version = excluded.version`,
		owner, it.JID.String(), it.Name, it.Subscription, it.Ask, approved, string(groups), version)
}

// remove deletes an item and returns the roster's new version. Of the removed ones the
// last maxGone are remembered; who knows an older version is given the whole roster.
func remove(tx *storage.Tx, owner int64, jid xmpp.JID) (version int64, err error) {
	bytes, _, err := weigh(tx, owner, jid)
	if err != nil {
		return 0, err
	}
	if err := tx.Exec(`delete from roster_item where owner = $1 and jid = $2`, owner, jid.String()); err != nil {
		return 0, err
	}
	if version, err = advance(tx, owner, -tx.Changes(), -bytes); err != nil {
		return 0, err
	}
	err = tx.Exec(`insert into roster_gone (owner, version, jid) values ($1, $2, $3)`, owner, version, jid.String())
	if err != nil {
		return 0, err
	}
	floor := int64(0)
	err = tx.Each(`select version from roster_gone where owner = $1 order by version desc limit 1 offset $2`,
		[]any{owner, int64(maxGone)}, func(r *storage.Row) error {
			floor = r.Int(0)
			return nil
		})
	if err != nil || floor == 0 {
		return version, err
	}
	if err := tx.Exec(`delete from roster_gone where owner = $1 and version <= $2`, owner, floor); err != nil {
		return 0, err
	}
	return version, tx.Exec(`update roster_version set floor = $2 where owner = $1`, owner, floor)
}

// advance makes a new version, which has so many more items and bytes.
func advance(tx *storage.Tx, owner, items, bytes int64) (version int64, err error) {
	err = tx.Each(`insert into roster_version (owner, version, items, bytes) values ($1, 1, $2, $3)
		on conflict (owner) do update set version = roster_version.version + 1, items = roster_version.items + excluded.items,
			bytes = roster_version.bytes + excluded.bytes returning version`, []any{owner, items, bytes}, func(r *storage.Row) error {
		version = r.Int(0)
		return nil
	})
	return version, err
}

// current returns the version of a roster, 0 before the first change, and the oldest one
// from which the changes are known.
func current(tx *storage.Tx, owner int64) (version, floor int64, err error) {
	err = tx.Each(`select version, floor from roster_version where owner = $1`, []any{owner}, func(r *storage.Row) error {
		version, floor = r.Int(0), r.Int(1)
		return nil
	})
	return version, floor, err
}

// A revision is the last change of an item: what it is, or that it is gone.
type revision struct {
	version int64
	item    Item
}

// since reads what has changed after a version, in order.
func since(tx *storage.Tx, owner, version int64) (list []revision, err error) {
	err = tx.Each(`select jid, name, subscription, ask, approved, groups, version from roster_item
		where owner = $1 and version > $2`, []any{owner, version}, func(r *storage.Row) error {
		it, err := read(r)
		list = append(list, revision{r.Int(6), it})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = tx.Each(`select jid, version from roster_gone where owner = $1 and version > $2`,
		[]any{owner, version}, func(r *storage.Row) error {
			jid, err := xmpp.ParseJID(r.Text(0))
			list = append(list, revision{r.Int(1), Item{JID: jid, Subscription: "remove"}})
			return err
		})
	slices.SortFunc(list, func(a, b revision) int { return cmp.Compare(a.version, b.version) })
	return list, err
}

// subscriptions reads the items with a subscription, ordered by address.
func subscriptions(tx *storage.Tx, owner int64) (list contacts, err error) {
	list = contacts{}
	err = tx.Each(`select jid, subscription, ask from roster_item
		where owner = $1 and (subscription <> 'none' or ask <> '') order by jid`, []any{owner}, func(r *storage.Row) error {
		jid, err := xmpp.ParseJID(r.Text(0))
		list = append(list, contact{jid, stateOf(r.Text(1), r.Text(2), false)})
		return err
	})
	slices.SortFunc(list, func(a, b contact) int { return strings.Compare(a.jid.String(), b.jid.String()) })
	return list, err
}

// requested reports whether a request of jid waits for an answer.
func requested(tx *storage.Tx, owner int64, jid xmpp.JID) (found bool, err error) {
	err = tx.Each(`select 1 from roster_request where owner = $1 and jid = $2`, []any{owner, jid.String()}, func(*storage.Row) error {
		found = true
		return nil
	})
	return found, err
}

// request keeps a subscription request (RFC 6121 §3.1.3).
func request(tx *storage.Tx, owner int64, jid xmpp.JID, st *xmpp.Stanza) error {
	n := int64(0)
	err := tx.Each(`select count(*) from roster_request where owner = $1`, []any{owner}, func(r *storage.Row) error {
		n = r.Int(0)
		return nil
	})
	switch {
	case err != nil:
		return err
	case n >= maxRequests:
		return errManyRequests
	}
	return tx.Exec(`insert into roster_request (owner, jid, stanza) values ($1, $2, $3)
		on conflict (owner, jid) do nothing`, owner, jid.String(), st.String())
}

// unrequest forgets a request.
func unrequest(tx *storage.Tx, owner int64, jid xmpp.JID) error {
	return tx.Exec(`delete from roster_request where owner = $1 and jid = $2`, owner, jid.String())
}

// requests reads the requests that wait for an answer, at most maxRequests.
func requests(tx *storage.Tx, owner int64) (list []*xmpp.Stanza, err error) {
	err = tx.Each(`select stanza from roster_request where owner = $1 order by jid`, []any{owner}, func(r *storage.Row) error {
		st, err := xmpp.ParseStanza(r.Text(0))
		list = append(list, st)
		return err
	})
	return list, err
}

// forget removes a roster. The number of an account is never used again.
func forget(tx *storage.Tx, owner int64) error {
	for _, q := range []string{
		`delete from roster_item where owner = $1`,
		`delete from roster_version where owner = $1`,
		`delete from roster_gone where owner = $1`,
		`delete from roster_request where owner = $1`,
	} {
		if err := tx.Exec(q, owner); err != nil {
			return err
		}
	}
	return nil
}

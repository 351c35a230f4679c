package pubsub

import (
	"time"

	"parley/storage"
	"parley/xmpp"
)

// The owner of a node is the number of an account; what is no account has a negative one.
var schema = storage.Schema{Name: "pubsub", Steps: []string{`
create table pubsub_node (
	id integer primary key,
	owner integer not null,
	name text not null,
	address text not null,
	config text not null,
	creator text not null,
	created integer not null,
	items integer not null,
	bytes integer not null,
	expire integer not null,
	moved text not null,
	unique (owner, name)
);
create index pubsub_node_bytes on pubsub_node (owner, bytes);
create index pubsub_node_address on pubsub_node (address);
create index pubsub_node_expire on pubsub_node (expire) where expire > 0;
create table pubsub_service (
	id integer primary key,
	domain text not null unique
);
create table pubsub_item (
	node integer not null,
	id text not null,
	seq integer not null,
	created integer not null,
	at integer not null,
	publisher text not null,
	payload blob not null,
	primary key (node, id)
);
create unique index pubsub_item_seq on pubsub_item (node, seq);
create table pubsub_affiliation (
	node integer not null,
	jid text not null,
	affiliation text not null,
	primary key (node, jid)
) without rowid;
create index pubsub_affiliation_jid on pubsub_affiliation (jid);
create table pubsub_subscription (
	node integer not null,
	jid text not null,
	bare text not null,
	subid text not null,
	state text not null,
	primary key (node, jid)
) without rowid;
create index pubsub_subscription_bare on pubsub_subscription (bare);
`}}

// A node is one of an account, as it is kept.
type node struct {
	id      int64
	owner   int64
	name    string
	address xmpp.JID // of the owner
	cfg     config
	creator xmpp.JID
	created time.Time
	items   int64
	bytes   int64  // of all items
	moved   string // where it is now; "" while it is here
}

const nodeColumns = `select id, owner, name, address, config, creator, created, items, bytes, moved from pubsub_node `

func readNode(r *storage.Row) (n *node, err error) {
	n = &node{id: r.Int(0), owner: r.Int(1), name: r.Text(2), created: r.Time(6), items: r.Int(7), bytes: r.Int(8), moved: r.Text(9)}
	if n.address, err = xmpp.ParseJID(r.Text(3)); err != nil {
		return nil, err
	}
	if n.creator, err = xmpp.ParseJID(r.Text(5)); err != nil {
		return nil, err
	}
	n.cfg, err = decode(r.Text(4))
	return n, err
}

// find reads a node; nil where there is none. One that has moved is there.
func find(tx *storage.Tx, owner int64, name string) (n *node, err error) {
	err = tx.Each(nodeColumns+`where owner = $1 and name = $2`, []any{owner, name}, func(r *storage.Row) error {
		n, err = readNode(r)
		return err
	})
	return n, err
}

// nodesOf reads all nodes of an owner that have not moved, ordered by name.
func nodesOf(tx *storage.Tx, owner int64) (list []*node, err error) {
	err = tx.Each(nodeColumns+`where owner = $1 and moved = '' order by name`, []any{owner}, func(r *storage.Row) error {
		n, err := readNode(r)
		list = append(list, n)
		return err
	})
	return list, err
}

// nodesBehind reads some nodes of an owner that have not moved, in the order of their names.
func nodesBehind(tx *storage.Tx, owner int64, name string, limit int) (list []*node, err error) {
	err = tx.Each(nodeColumns+`where owner = $1 and name > $2 and moved = '' order by name limit $3`, []any{owner, name, limit}, func(r *storage.Row) error {
		n, err := readNode(r)
		list = append(list, n)
		return err
	})
	return list, err
}

// ownedBy returns how many nodes of a service an address owns.
func ownedBy(tx *storage.Tx, owner int64, bare xmpp.JID) (n int64, err error) {
	_, err = tx.One(`select count(*) from pubsub_affiliation a join pubsub_node n on n.id = a.node
		where a.jid = $1 and a.affiliation = 'owner' and n.owner = $2`, []any{bare.String(), owner}, &n)
	return n, err
}

// serviceOf reads the number of the service of a domain, 0 where it has none yet.
func serviceOf(tx *storage.Tx, domain string) (id int64, err error) {
	_, err = tx.One(`select id from pubsub_service where domain = $1`, []any{domain}, &id)
	return id, err
}

// addService gives the service of a domain its number.
func addService(tx *storage.Tx, domain string) (id int64, err error) {
	if _, err = tx.One(`select coalesce(min(id), 0) - 1 from pubsub_service`, nil, &id); err != nil {
		return 0, err
	}
	return id, tx.Exec(`insert into pubsub_service (id, domain) values ($1, $2)`, id, domain)
}

// namesOf reads the names of the nodes at an address that somebody may be interested in.
func namesOf(tx *storage.Tx, address xmpp.JID, each func(name string)) error {
	return tx.Each(`select name from pubsub_node where address = $1 and moved = '' and items > 0`, []any{address.String()}, func(r *storage.Row) error {
		each(r.Text(0))
		return nil
	})
}

// usage returns how many nodes an owner has, those that have moved too, and the bytes of all
// their items.
func usage(tx *storage.Tx, owner int64) (nodes, bytes int64, err error) {
	_, err = tx.One(`select count(*), coalesce(sum(bytes), 0) from pubsub_node where owner = $1`, []any{owner}, &nodes, &bytes)
	return nodes, bytes, err
}

// create writes a new node, in place of one that has moved.
func create(tx *storage.Tx, n *node) error {
	n.id, n.created = int64(tx.NextID()), tx.Now()
	if err := tx.Exec(`delete from pubsub_node where owner = $1 and name = $2 and moved <> ''`, n.owner, n.name); err != nil {
		return err
	}
	return tx.Exec(`insert into pubsub_node (id, owner, name, address, config, creator, created, items, bytes, expire, moved)
		values ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, '')`,
		n.id, n.owner, n.name, n.address.String(), n.cfg.encode(), n.creator.String(), n.created, n.cfg.Expire)
}

// reconfigure writes another configuration.
func reconfigure(tx *storage.Tx, node int64, c config) error {
	return tx.Exec(`update pubsub_node set config = $2, expire = $3 where id = $1`, node, c.encode(), c.Expire)
}

// remove deletes a node with all it has. Where moved says where it is now, that stays.
func remove(tx *storage.Tx, node int64, moved string) error {
	for _, q := range []string{
		`delete from pubsub_item where node = $1`,
		`delete from pubsub_affiliation where node = $1`,
		`delete from pubsub_subscription where node = $1`,
	} {
		if err := tx.Exec(q, node); err != nil {
			return err
		}
	}
	if moved != "" {
		return tx.Exec(`update pubsub_node set moved = $2, items = 0, bytes = 0, expire = 0 where id = $1`, node, moved)
	}
	return tx.Exec(`delete from pubsub_node where id = $1`, node)
}

// forget deletes all nodes of an account, and what it has to do with those of others.
func forget(tx *storage.Tx, owner int64, jid xmpp.JID) error {
	for _, q := range []string{
		`delete from pubsub_item where node in (select id from pubsub_node where owner = $1)`,
		`delete from pubsub_affiliation where node in (select id from pubsub_node where owner = $1)`,
		`delete from pubsub_subscription where node in (select id from pubsub_node where owner = $1)`,
		`delete from pubsub_node where owner = $1`,
	} {
		if err := tx.Exec(q, owner); err != nil {
			return err
		}
	}
	if err := tx.Exec(`delete from pubsub_affiliation where jid = $1`, jid.String()); err != nil {
		return err
	}
	return tx.Exec(`delete from pubsub_subscription where bare = $1`, jid.String())
}

package push

import (
	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "push", Steps: []string{`
create table push_node (
	owner integer not null,
	jid text not null,
	node text not null,
	resource text not null,
	options blob not null,
	primary key (owner, jid, node)
) without rowid;
`}}

// A node is where one device's notifications go.
type node struct {
	jid      xmpp.JID // of the service
	name     string
	resource string       // of the device that has enabled it
	options  xmpp.Payload // that go with each notification; may be nil
}

func (n *node) is(jid xmpp.JID, name string) bool { return n.jid == jid && n.name == name }

// nodesOf reads the nodes of an account.
func nodesOf(tx *storage.Tx, owner int64) (list []node, err error) {
	err = tx.Each(`select jid, node, resource, options from push_node where owner = $1 order by jid, node`, []any{owner}, func(r *storage.Row) error {
		jid, err := xmpp.ParseJID(r.Text(0))
		list = append(list, node{jid, r.Text(1), r.Text(2), r.Bytes(3)})
		return err
	})
	return list, err
}

// eachOwner calls each for every account that has nodes.
func eachOwner(tx *storage.Tx, each func(int64)) error {
	return tx.Each(`select distinct owner from push_node`, nil, func(r *storage.Row) error {
		each(r.Int(0))
		return nil
	})
}

func put(tx *storage.Tx, owner int64, n node) error {
	options := []byte(n.options)
	if options == nil {
		options = []byte{}
	}
	return tx.Exec(`insert into push_node (owner, jid, node, resource, options) values ($1, $2, $3, $4, $5)
		on conflict (owner, jid, node) do update set resource = excluded.resource, options = excluded.options`,
		owner, n.jid.String(), n.name, n.resource, options)
}

func remove(tx *storage.Tx, owner int64, jid xmpp.JID, name string) error {
	return tx.Exec(`delete from push_node where owner = $1 and jid = $2 and node = $3`, owner, jid.String(), name)
}

func forget(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from push_node where owner = $1`, owner)
}

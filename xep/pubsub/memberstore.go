package pubsub

import (
	"parley/storage"
	"parley/xmpp"
)

// Affiliations (XEP-0060 §4.1) beside that of the owner, which is not kept, and none.
const (
	affOwner       = "owner"
	affPublisher   = "publisher"
	affPublishOnly = "publish-only"
	affMember      = "member"
	affOutcast     = "outcast"
	affNone        = "none"
)

// States of subscriptions (XEP-0060 §4.2).
const (
	subPending = "pending"
	subYes     = "subscribed"
	subNone    = "none"
)

// A subscription is one to a node.
type subscription struct {
	jid   xmpp.JID // as it was asked for, bare or full
	subid string
	state string
}

// affiliations reads those of a node, by bare address.
func affiliations(tx *storage.Tx, node int64) (m map[xmpp.JID]string, err error) {
	err = tx.Each(`select jid, affiliation from pubsub_affiliation where node = $1`, []any{node}, func(r *storage.Row) error {
		jid, err := xmpp.ParseJID(r.Text(0))
		if m == nil {
			m = map[xmpp.JID]string{}
		}
		m[jid] = r.Text(1)
		return err
	})
	return m, err
}

// affiliationsOf reads that of one address, and those of the owners.
func affiliationsOf(tx *storage.Tx, node int64, bare xmpp.JID) (m map[xmpp.JID]string, err error) {
	m = map[xmpp.JID]string{}
	err = tx.Each(`select jid, affiliation from pubsub_affiliation where node = $1 and (jid = $2 or affiliation = 'owner')`,
		[]any{node, bare.String()}, func(r *storage.Row) error {
			jid, err := xmpp.ParseJID(r.Text(0))
			m[jid] = r.Text(1)
			return err
		})
	return m, err
}

// affiliate writes an affiliation; that of none is not kept.
func affiliate(tx *storage.Tx, node int64, bare xmpp.JID, affiliation string) error {
	if affiliation == affNone {
		return tx.Exec(`delete from pubsub_affiliation where node = $1 and jid = $2`, node, bare.String())
	}
	return tx.Exec(`insert into pubsub_affiliation (node, jid, affiliation) values ($1, $2, $3)
		on conflict (node, jid) do update set affiliation = excluded.affiliation`, node, bare.String(), affiliation)
}

// subscriptions reads those of a node, in the order of their addresses.
func subscriptions(tx *storage.Tx, node int64) (list []subscription, err error) {
	err = tx.Each(`select jid, subid, state from pubsub_subscription where node = $1 order by jid`, []any{node}, func(r *storage.Row) error {
		jid, err := xmpp.ParseJID(r.Text(0))
		list = append(list, subscription{jid, r.Text(1), r.Text(2)})
		return err
	})
	return list, err
}

// subscriptionsOf reads those of one address.
func subscriptionsOf(tx *storage.Tx, node int64, bare xmpp.JID) (list []subscription, err error) {
	err = tx.Each(`select jid, subid, state from pubsub_subscription where node = $1 and bare = $2 order by jid`,
		[]any{node, bare.String()}, func(r *storage.Row) error {
			jid, err := xmpp.ParseJID(r.Text(0))
			list = append(list, subscription{jid, r.Text(1), r.Text(2)})
			return err
		})
	return list, err
}

// subscribersOf returns how many are subscribed to a node.
func subscribersOf(tx *storage.Tx, node int64) (n int64, err error) {
	_, err = tx.One(`select count(*) from pubsub_subscription where node = $1 and state = 'subscribed'`, []any{node}, &n)
	return n, err
}

// everySubscription calls each for those of an address to the nodes of an owner, or to the one of
// that name, in the order of the names.
func everySubscription(tx *storage.Tx, owner int64, bare xmpp.JID, name string, each func(node string, s subscription)) error {
	return tx.Each(`select n.name, s.jid, s.subid, s.state from pubsub_subscription s join pubsub_node n on n.id = s.node
		where s.bare = $1 and n.owner = $2 and (n.name = $3 or $3 = '') order by n.name, s.jid`,
		[]any{bare.String(), owner, name}, func(r *storage.Row) error {
			jid, err := xmpp.ParseJID(r.Text(1))
			each(r.Text(0), subscription{jid, r.Text(2), r.Text(3)})
			return err
		})
}

// everyAffiliation is the same for affiliations.
func everyAffiliation(tx *storage.Tx, owner int64, bare xmpp.JID, name string, each func(node, affiliation string)) error {
	return tx.Each(`select n.name, a.affiliation from pubsub_affiliation a join pubsub_node n on n.id = a.node
		where a.jid = $1 and n.owner = $2 and (n.name = $3 or $3 = '') order by n.name`,
		[]any{bare.String(), owner, name}, func(r *storage.Row) error {
			each(r.Text(0), r.Text(1))
			return nil
		})
}

// subscribe writes a subscription in its new state; one of none is not kept.
func subscribe(tx *storage.Tx, node int64, s subscription) error {
	if s.state == subNone {
		return tx.Exec(`delete from pubsub_subscription where node = $1 and jid = $2`, node, s.jid.String())
	}
	return tx.Exec(`insert into pubsub_subscription (node, jid, bare, subid, state) values ($1, $2, $3, $4, $5)
		on conflict (node, jid) do update set subid = excluded.subid, state = excluded.state`,
		node, s.jid.String(), s.jid.Bare().String(), s.subid, s.state)
}

// subscribed returns how many subscriptions the nodes of an owner have, and how many of these
// are somebody's.
func subscribed(tx *storage.Tx, owner int64, bare xmpp.JID) (all, own int64, err error) {
	_, err = tx.One(`select count(*), coalesce(sum(case when s.bare = $2 then 1 else 0 end), 0) from pubsub_subscription s join pubsub_node n on n.id = s.node
		where n.owner = $1`, []any{owner, bare.String()}, &all, &own)
	return all, own, err
}

// members returns how many affiliations the nodes of an owner have.
func members(tx *storage.Tx, owner int64) (all int64, err error) {
	_, err = tx.One(`select count(*) from pubsub_affiliation a join pubsub_node n on n.id = a.node where n.owner = $1`, []any{owner}, &all)
	return all, err
}

// lose ends the subscriptions of an address to the nodes of an owner.
func lose(tx *storage.Tx, owner int64, jid xmpp.JID) error {
	return tx.Exec(`delete from pubsub_subscription where bare = $2 and jid = $3 and node in (select id from pubsub_node where owner = $1)`,
		owner, jid.Bare().String(), jid.String())
}

package pubsub

import (
	"context"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// An item is what was published once. Items are in the order of seq: that of the last
// publication of each (XEP-0060 §12.1).
type item struct {
	id        string
	seq       int64
	created   int64     // the seq of its first publication (XEP-0413 §3)
	at        time.Time // of its last one
	publisher xmpp.JID  // full
	payload   xmpp.Payload
}

func readItem(r *storage.Row) (it item, err error) {
	it = item{id: r.Text(0), seq: r.Int(1), created: r.Int(2), at: r.Time(3), payload: r.Bytes(5)}
	it.publisher, err = xmpp.ParseJID(r.Text(4))
	return it, err
}

// oldest is when an item of the node must have been published not to have expired.
func (n *node) oldest(now time.Time) time.Time {
	if n.cfg.Expire == 0 {
		return time.Unix(0, 1000)
	}
	return now.Add(-time.Duration(n.cfg.Expire) * time.Second)
}

// last reads the item that was published last.
func last(tx *storage.Tx, n *node) (it item, found bool, err error) {
	err = tx.Each(`select id, seq, created, at, publisher, payload from pubsub_item
		where node = $1 and at >= $2 order by seq desc limit 1`, []any{n.id, n.oldest(tx.Now())}, func(r *storage.Row) error {
		it, err = readItem(r)
		found = true
		return err
	})
	return it, found, err
}

// one reads an item.
func one(tx *storage.Tx, n *node, id string) (it item, found bool, err error) {
	err = tx.Each(`select id, seq, created, at, publisher, payload from pubsub_item
		where node = $1 and id = $2 and at >= $3`, []any{n.id, id, n.oldest(tx.Now())}, func(r *storage.Row) error {
		it, err = readItem(r)
		found = true
		return err
	})
	return it, found, err
}

// size returns how large an item is, and when it was first published; found is false for a
// new one.
func size(tx *storage.Tx, node int64, id string) (bytes, created int64, found bool, err error) {
	found, err = tx.One(`select length(payload), created from pubsub_item where node = $1 and id = $2`, []any{node, id}, &bytes, &created)
	return bytes, created, found, err
}

// count returns how many items there are.
func count(tx *storage.Tx, n *node) (items int64, err error) {
	_, err = tx.One(`select count(*) from pubsub_item where node = $1 and at >= $2`, []any{n.id, n.oldest(tx.Now())}, &items)
	return items, err
}

// surplus reads the ids of the oldest items that are more than keep, but for one.
func surplus(tx *storage.Tx, node int64, except string, many int64) (ids []string, bytes int64, err error) {
	err = tx.Each(`select id, length(payload) from pubsub_item where node = $1 and id <> $2 order by seq limit $3`,
		[]any{node, except, many}, func(r *storage.Row) error {
			ids = append(ids, r.Text(0))
			bytes += r.Int(1)
			return nil
		})
	return ids, bytes, err
}

// put writes an item, which has its seq and time from here.
func put(tx *storage.Tx, node int64, it *item) error {
	it.seq, it.at = int64(tx.NextID()), tx.Now()
	if it.created == 0 {
		it.created = it.seq
	}
	return tx.Exec(`insert into pubsub_item (node, id, seq, created, at, publisher, payload) values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (node, id) do update set seq = excluded.seq, at = excluded.at, publisher = excluded.publisher, payload = excluded.payload`,
		node, it.id, it.seq, it.created, it.at, it.publisher.String(), []byte(it.payload))
}

// drop deletes items.
func drop(tx *storage.Tx, node int64, ids ...string) error {
	for _, id := range ids {
		if err := tx.Exec(`delete from pubsub_item where node = $1 and id = $2`, node, id); err != nil {
			return err
		}
	}
	return nil
}

// purge deletes all items of a node.
func purge(tx *storage.Tx, node int64) error {
	if err := tx.Exec(`delete from pubsub_item where node = $1`, node); err != nil {
		return err
	}
	return tx.Exec(`update pubsub_node set items = 0, bytes = 0 where id = $1`, node)
}

// tally notes by how many items and bytes a node has grown.
func tally(tx *storage.Tx, node, items, bytes int64) error {
	return tx.Exec(`update pubsub_node set items = items + $2, bytes = bytes + $3 where id = $1`, node, items, bytes)
}

// idleItems is how many expired items are deleted at a time.
const idleItems = 500

// tidy deletes items that have expired, a few at a time, so that nobody waits long for the
// writer.
func tidy(ctx context.Context, store *storage.Store) error {
	var due []*node
	err := store.Read(ctx, func(tx *storage.Tx) error {
		return tx.Each(nodeColumns+`where expire > 0 and items > 0`, nil, func(r *storage.Row) error {
			n, err := readNode(r)
			due = append(due, n)
			return err
		})
	})
	for i := 0; err == nil && i < len(due) && ctx.Err() == nil; {
		var gone int64
		err = store.Write(ctx, func(tx *storage.Tx) (err error) {
			gone, err = expire(tx, due[i])
			return err
		})
		if gone < idleItems {
			i++
		}
	}
	return err
}

// expire deletes some items that have expired, and returns how many.
func expire(tx *storage.Tx, n *node) (items int64, err error) {
	var ids []string
	var bytes int64
	err = tx.Each(`select id, length(payload) from pubsub_item where node = $1 and at < $2 limit $3`,
		[]any{n.id, n.oldest(tx.Now()), idleItems}, func(r *storage.Row) error {
			ids = append(ids, r.Text(0))
			bytes += r.Int(1)
			return nil
		})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := drop(tx, n.id, ids...); err != nil {
		return 0, err
	}
	return int64(len(ids)), tally(tx, n.id, -int64(len(ids)), -bytes)
}

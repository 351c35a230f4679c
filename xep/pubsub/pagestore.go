package pubsub

import (
	"errors"
	"math"
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// order is in what order items are returned (XEP-0413 §4): by the last publication of each,
// unless it says otherwise.
type order struct{ creation, desc bool }

// key is the number that an item has in the order.
func (o order) key(it item) int64 {
	if o.creation {
		return it.created
	}
	return it.seq
}

const itemColumns = `select id, seq, created, at, publisher, payload from pubsub_item where node = $1 and at >= $2 and `

// upwards and downwards are the statements that read from a key on.
func (o order) upwards() string {
	if o.creation {
		return itemColumns + `created > $3 order by created limit $4`
	}
	return itemColumns + `seq > $3 order by seq limit $4`
}

func (o order) downwards() string {
	if o.creation {
		return itemColumns + `created < $3 order by created desc limit $4`
	}
	return itemColumns + `seq < $3 order by seq desc limit $4`
}

// below returns how many items have a smaller key.
func (o order) below(tx *storage.Tx, n *node, key int64) (items int64, err error) {
	q := `select count(*) from pubsub_item where node = $1 and at >= $2 and seq < $3`
	if o.creation {
		q = `select count(*) from pubsub_item where node = $1 and at >= $2 and created < $3`
	}
	_, err = tx.One(q, []any{n.id, n.oldest(tx.Now()), key}, &items)
	return items, err
}

var errEnough = errors.New("the page is full")

// walk reads up to limit items beyond a key, up or down, and no more than have these bytes, but
// one at least.
func (o order) walk(tx *storage.Tx, n *node, up bool, key int64, limit, bytes int) (list []item, err error) {
	q := o.upwards()
	if !up {
		q = o.downwards()
	}
	err = tx.Each(q, []any{n.id, n.oldest(tx.Now()), key, limit}, func(r *storage.Row) error {
		it, err := readItem(r)
		if err != nil {
			return err
		}
		if bytes -= len(it.payload) + len(it.id) + 32; bytes < 0 && len(list) > 0 {
			return errEnough
		}
		list = append(list, it)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

// recent reads the items with the largest keys (XEP-0060 §6.5.7), in the order.
func (o order) recent(tx *storage.Tx, n *node, limit, bytes int) (list []item, err error) {
	list, err = o.walk(tx, n, false, math.MaxInt64, limit, bytes)
	if !o.desc {
		slices.Reverse(list)
	}
	return list, err
}

// page reads the page that was asked for (XEP-0059 §2, XEP-0413 §4.5). An item that is named
// and is not there is an error.
func (o order) page(tx *storage.Tx, n *node, p xmpp.Paging, limit, bytes int) (list []item, about xmpp.Page, err error) {
	total, err := count(tx, n)
	if err != nil {
		return nil, about, err
	}
	about = xmpp.Page{Index: -1, Count: int(total)}
	if p.Max >= 0 {
		limit = min(limit, p.Max)
	}
	key, forwards, err := o.begin(tx, n, p, total)
	if err != nil || limit == 0 { // XEP-0059 §2.7: only the count is wanted
		return nil, about, err
	}
	list, err = o.walk(tx, n, forwards != o.desc, key, limit, bytes)
	if err != nil || len(list) == 0 {
		return nil, about, err
	}
	if !forwards {
		slices.Reverse(list)
	}
	about.First, about.Last = list[0].id, list[len(list)-1].id
	below, err := o.below(tx, n, o.key(list[0]))
	if about.Index = int(below); o.desc {
		about.Index = int(total - 1 - below)
	}
	return list, about, err
}

// begin returns where a page begins, and whether it goes on from there forwards in the order.
func (o order) begin(tx *storage.Tx, n *node, p xmpp.Paging, total int64) (key int64, forwards bool, err error) {
	lowest, highest := int64(math.MinInt64), int64(math.MaxInt64)
	if o.desc {
		lowest, highest = highest, lowest
	}
	name := p.After
	switch {
	case p.Backwards && p.Before == "":
		return highest, false, nil
	case p.Backwards:
		name = p.Before
	case p.Index > 0:
		return o.at(tx, n, int64(p.Index), total)
	case p.After == "":
		return lowest, true, nil
	}
	it, found, err := one(tx, n, name)
	if err == nil && !found {
		err = xmpp.Refuse("item-not-found", "") // XEP-0059 §2.4
	}
	return o.key(it), !p.Backwards, err
}

// at returns the key of the item before the one of that index.
func (o order) at(tx *storage.Tx, n *node, index, total int64) (key int64, forwards bool, err error) {
	if index > total {
		return 0, true, xmpp.Refuse("item-not-found", "") // XEP-0059 §2.6
	}
	list, err := order{creation: o.creation}.keys(tx, n)
	if err != nil || int64(len(list)) < index {
		return math.MaxInt64, true, err
	}
	if o.desc {
		slices.Reverse(list)
	}
	return list[index-1], true, nil
}

// keys reads the keys of all items.
func (o order) keys(tx *storage.Tx, n *node) (list []int64, err error) {
	q := `select seq from pubsub_item where node = $1 and at >= $2 order by seq`
	if o.creation {
		q = `select created from pubsub_item where node = $1 and at >= $2 order by created`
	}
	err = tx.Each(q, []any{n.id, n.oldest(tx.Now())}, func(r *storage.Row) error {
		list = append(list, r.Int(0))
		return nil
	})
	return list, err
}

// names reads the ids of the items in the order of their last publications.
func names(tx *storage.Tx, n *node, limit int) (ids []string, err error) {
	err = tx.Each(`select id from pubsub_item where node = $1 and at >= $2 order by seq limit $3`,
		[]any{n.id, n.oldest(tx.Now()), limit}, func(r *storage.Row) error {
			ids = append(ids, r.Text(0))
			return nil
		})
	return ids, err
}

package pubsub

import (
	"strconv"

	"parley/storage"
	"parley/xmpp"
)

// nsOrder is the namespace of XEP-0413.
const nsOrder = "urn:xmpp:order-by:1"

// items returns items of a node (XEP-0060 §6.5).
func (k *ask) items() (xmpp.Payload, error) {
	want, err := k.wanted()
	if err != nil {
		return nil, err
	}
	v, err := k.look()
	if err != nil {
		return nil, err
	}
	if v.n == nil && k.owner {
		return k.beforeTheFirst()
	}
	if err := v.there(); err != nil {
		return nil, err
	}
	if refused := v.mayRead(); refused != nil {
		return nil, refused
	}
	if !v.n.cfg.Persist { // XEP-0060 §6.5.9.4
		return nil, unsupported("persistent-items")
	}
	var list []item
	var about *xmpp.Page
	if err := k.read(func(tx *storage.Tx) (err error) {
		list, about, err = want.read(tx, v.n)
		return err
	}); err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Grow(weigh(list)).Open(nsPubsub, "pubsub").Open("", "items", "node", k.name)
	for _, it := range list {
		it.write(&b, &v.n.cfg, true)
	}
	b.Close()
	if about != nil {
		b.Raw(about.Payload())
	}
	return b.Payload(), nil
}

// beforeTheFirst answers the owner who asks for items of a node that has not been made. Bookmarks are
// then an empty list, as the same list in private XML is (XEP-0411 §3): clients that are told of a
// missing node, as Dino 0.4.2, never add a first one.
func (k *ask) beforeTheFirst() (xmpp.Payload, error) {
	if k.name != "urn:xmpp:bookmarks:1" {
		return nil, nothingYet()
	}
	var b xmpp.Builder
	b.Open(nsPubsub, "pubsub").Open("", "items", "node", k.name)
	return b.Payload(), nil
}

// A want says which items are asked for.
type want struct {
	ids    []string // these; nil: not by their ids
	recent int      // so many of the last ones; -1 where the request does not say
	paged  bool
	page   xmpp.Paging
	order  order
	bytes  int
}

// wanted reads a request for items (XEP-0060 §6.5.2 to §6.5.8, XEP-0059, XEP-0413).
func (k *ask) wanted() (w want, err error) {
	w = want{recent: -1, bytes: maxAnswer}
	if !k.s.router.Serves(k.from.Domain()) {
		w.bytes = maxAnswerAway
	}
	if w.page, err = xmpp.ParsePaging(k.pubsub); err != nil {
		return w, err
	}
	w.paged = !k.pubsub.Child(xmpp.NSRSM, "set").IsZero()
	if w.order, err = ordered(k.pubsub.Child(nsOrder, "order")); err != nil {
		return w, err
	}
	if s := k.action.Attr("max_items"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || n == 0 {
			return w, xmpp.Refuse("bad-request", "max_items is no number of items")
		}
		w.recent = int(n)
	}
	for e := range k.action.Children {
		if !e.Is(nsPubsub, "item") {
			continue
		}
		if len(w.ids) >= maxPage {
			return w, xmpp.Refuse("bad-request", "too many items")
		}
		w.ids = append(w.ids, e.Attr("id"))
	}
	return w, nil
}

// ordered reads <order/> (XEP-0413 §4).
func ordered(e xmpp.Element) (o order, err error) {
	if e.IsZero() {
		return o, nil
	}
	switch e.Attr("by") {
	case "creation":
		o.creation = true
	case "modification":
	default:
		return o, xmpp.Refuse("feature-not-implemented", "there is no such order") // XEP-0413 §5
	}
	o.desc, _ = truth(e.Attr("desc"))
	return o, nil
}

// read reads what is wanted. about is nil where all that was asked for is there, and nobody has
// asked for a page (XEP-0060 §6.5.4).
func (w want) read(tx *storage.Tx, n *node) (list []item, about *xmpp.Page, err error) {
	switch {
	case w.ids != nil:
		bytes := w.bytes
		for _, id := range w.ids {
			it, found, err := one(tx, n, id)
			if err != nil {
				return nil, nil, err
			}
			if bytes -= len(it.payload); found && (bytes >= 0 || len(list) == 0) {
				list = append(list, it)
			}
		}
		return list, nil, nil
	case w.paged:
		list, page, err := w.order.page(tx, n, w.page, maxPage, w.bytes)
		return list, &page, err
	case w.recent >= 0:
		list, err = w.order.recent(tx, n, min(w.recent, maxPage), w.bytes)
		return list, nil, err
	}
	list, page, err := w.order.page(tx, n, w.page, maxPage, w.bytes)
	if err == nil && len(list) < page.Count {
		about = &page
	}
	return list, about, err
}

// write writes an item, with its payload or without.
func (it *item) write(b *xmpp.Builder, c *config, payload bool) {
	publisher := ""
	if c.Reply == "publisher" { // XEP-0060 §7.1.2.3, §12.17
		publisher = it.publisher.Bare().String()
	}
	b.Open("", "item", "id", it.id, "publisher", publisher)
	if payload {
		b.Raw(it.payload)
	}
	b.Close()
}

// weigh returns about how many bytes items have when they are written.
func weigh(list []item) int {
	n := 256
	for _, it := range list {
		n += len(it.payload) + len(it.id) + 64
	}
	return n
}

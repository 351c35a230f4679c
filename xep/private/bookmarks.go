package private

import (
	"context"

	"parley/router"
	"parley/xmpp"
)

// natives are the ids of the bookmarks of XEP-0402, without what they say.
type natives struct {
	ids, keys []string          // in the order of publication
	at        map[string]string // ids by room: of several for one, that of the last
}

func nativesOf(e router.Edit) (n natives, err error) {
	ids, err := e.IDs(nodeNative)
	n.at = make(map[string]string, len(ids))
	for _, id := range ids {
		if key := keyOf(id); key != "" {
			n.ids, n.keys = append(n.ids, id), append(n.keys, key)
			n.at[key] = id
		}
	}
	return n, err
}

// nativeAt reads an item of XEP-0402; ok is false where there is none, or it is no bookmark.
func nativeAt(e router.Edit, id string) (n native, ok bool, err error) {
	it, found, err := e.Item(nodeNative, id)
	if err != nil || !found {
		return n, false, err
	}
	n, ok = readNative(it.ID, it.Payload)
	return n, ok, nil
}

// listAt reads the list at its node; the zero Element where there is none. What is no list at all
// is strange.
func listAt(e router.Edit) (list xmpp.Element, strange bool, err error) {
	it, found, err := e.Last(nodeList)
	if err != nil || !found {
		return list, false, err
	}
	list = xmpp.NewStanza(xmpp.IQ, it.Payload).Payload()
	if !list.Is(nodeList, "storage") {
		return xmpp.Element{}, true, nil
	}
	return list, false, nil
}

// listed has the other places follow the list at its node.
func (f *feature) listed(e router.Edit, _ []string) error {
	list, strange, err := listAt(e)
	if err != nil || strange {
		return err
	}
	if entries(list) > maxBookmarks {
		return tooMany()
	}
	was, err := f.lastScattered(e)
	if err != nil {
		return err
	}
	if err := f.keepList(e, list.Payload()); err != nil {
		return err
	}
	return scatter(e, was, list)
}

// lastScattered is the list that the items of XEP-0402 are the same as; the zero Element where no
// list is known to be.
func (f *feature) lastScattered(e router.Edit) (list xmpp.Element, err error) {
	due, err := isUnconverted(e.Tx(), e.Account().ID)
	if err != nil || due {
		return list, err
	}
	kept, err := load(e.Tx(), e.Account().ID, listName())
	return xmpp.NewStanza(xmpp.IQ, kept).Payload(), err
}

// gather has the list follow the items of XEP-0402 with these ids (XEP-0402 §5.3.1).
func (f *feature) gather(e router.Edit, ids []string) error {
	was, due, err := lastList(e)
	if err != nil {
		return err
	}
	if due {
		return f.bring(e, was)
	}
	fates, err := fatesOf(e, was, ids)
	if err != nil {
		return err
	}
	list, size, grown, changed := collate(was, fates)
	switch {
	case !changed:
		return nil
	case grown > 0 && size > maxBookmarks:
		return tooMany()
	}
	return f.relist(e, list)
}

// relist writes the list at the places where it is one.
func (f *feature) relist(e router.Edit, list xmpp.Payload) error {
	if err := e.Publish(nodeList, router.Publication{ID: idList, Payload: list}, router.Oneself); err != nil {
		return err
	}
	return f.keepList(e, list)
}

// fatesOf finds out what has become of the items with these ids; nil: of all that are in the list.
func fatesOf(e router.Edit, was xmpp.Element, ids []string) (list []fate, err error) {
	if ids == nil {
		return goneFrom(e, was)
	}
	for _, id := range ids {
		key := keyOf(id)
		if key == "" {
			continue
		}
		n, ok, err := nativeAt(e, id)
		if err == nil && !ok {
			n, ok, err = another(e, key, id)
		}
		if err != nil {
			return nil, err
		}
		n.key = key
		list = append(list, fate{n, ok})
	}
	return list, nil
}

// another finds a bookmark for the same room under another id: one that a client has not normalised.
func another(e router.Edit, key, id string) (n native, ok bool, err error) {
	all, err := nativesOf(e)
	other := all.at[key]
	if err != nil || other == "" || other == id {
		return n, false, err
	}
	return nativeAt(e, other)
}

// goneFrom finds the bookmarks of a list of which there is no item any more.
func goneFrom(e router.Edit, was xmpp.Element) (list []fate, err error) {
	all, err := nativesOf(e)
	for c := range was.Children {
		if key, _, ok := readEntry(c); ok && all.at[key] == "" {
			list = append(list, fate{native: native{key: key}})
		}
	}
	return list, err
}

// keepList keeps the list in private XML; nil: there is none.
func (f *feature) keepList(e router.Edit, list xmpp.Payload) error {
	tx, owner := e.Tx(), e.Account().ID
	if err := convertedAll(tx, owner); err != nil {
		return err
	}
	if list == nil {
		return remove(tx, owner, listName())
	}
	return f.putAll(tx, owner, []element{{name: listName(), xml: list, count: 1}})
}

// scatter makes the items of XEP-0402 those of a list (XEP-0402 §5.3.2). What is in the list as it
// was before is not read, and what has not changed not published again.
func scatter(e router.Edit, was, list xmpp.Element) error {
	all, err := nativesOf(e)
	if err != nil {
		return err
	}
	before := map[string]bookmark{}
	for c := range was.Children {
		if key, mark, ok := readEntry(c); ok && all.at[key] != "" {
			before[key] = mark
		}
	}
	seen := map[string]bool{}
	fresh := false
	for c := range list.Children {
		key, mark, ok := readEntry(c)
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		if old, same := before[key]; same && old == mark {
			continue
		}
		fresh = fresh || all.at[key] == ""
		if err := scatterOne(e, all.at[key], native{bookmark: mark, id: key}); err != nil {
			return err
		}
	}
	if err := retractOthers(e, all, seen); err != nil || !fresh {
		return err
	}
	return allThere(e, seen)
}

// scatterOne publishes a bookmark, if the item with this id ("": there is none) is not the same.
func scatterOne(e router.Edit, id string, n native) error {
	if id != "" {
		old, ok, err := nativeAt(e, id)
		if err != nil || ok && old.bookmark == n.bookmark {
			return err
		}
		n.id, n.e = id, old.e
	}
	return publishNative(e, n)
}

// retractOthers retracts the bookmarks that are not in a list any more.
func retractOthers(e router.Edit, all natives, seen map[string]bool) error {
	for i, id := range all.ids {
		if seen[all.keys[i]] {
			continue
		}
		_, ok, err := nativeAt(e, id)
		if err == nil && ok { // what is no bookmark is nothing that a list can lack
			err = e.Retract(nodeNative, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allThere refuses a list of more bookmarks than the node takes.
func allThere(e router.Edit, seen map[string]bool) error {
	if list, _, err := listAt(e); err != nil || list.IsZero() {
		return err
	}
	all, err := nativesOf(e)
	if err != nil {
		return err
	}
	for key := range all.at {
		delete(seen, key)
	}
	if len(seen) > 0 {
		return tooMany()
	}
	return nil
}

// setWithList keeps elements of which one is the list of bookmarks.
func (f *feature) setWithList(ctx context.Context, q *router.Request, list []element, marks element) error {
	switch {
	case marks.count > 1:
		return xmpp.Refuse("not-acceptable", "there is one list of bookmarks")
	case entries(xmpp.NewStanza(xmpp.IQ, marks.xml).Payload()) > maxBookmarks:
		return tooMany()
	}
	return q.Turn(func(t *router.Turn) error {
		return f.router.Edit(ctx, t, q.Account, q.From(), func(e router.Edit) error { return f.setBookmarks(e, list, marks.xml) })
	})
}

func (f *feature) setBookmarks(e router.Edit, list []element, marks xmpp.Payload) error {
	was, err := f.lastScattered(e)
	if err != nil {
		return err
	}
	if err := convertedAll(e.Tx(), e.Account().ID); err != nil {
		return err
	}
	if err := f.putAll(e.Tx(), e.Account().ID, list); err != nil {
		return err
	}
	if err := e.Publish(nodeList, router.Publication{ID: idList, Payload: marks}, router.Oneself); err != nil { // XEP-0411 §3
		return err
	}
	return scatter(e, was, xmpp.NewStanza(xmpp.IQ, marks).Payload())
}

// publishNative publishes a bookmark, with what of its item only XEP-0402 has words for.
func publishNative(e router.Edit, n native) error {
	var b xmpp.Builder
	n.write(&b, nodeNative, "", n.e)
	return e.Publish(nodeNative, router.Publication{ID: n.id, Payload: b.Payload()}, router.Oneself)
}

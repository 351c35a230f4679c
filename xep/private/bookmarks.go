package private

import (
	"context"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// published has the other places of bookmarks follow a change at one of the nodes.
func (f *feature) published(e router.Edit, node string) error {
	switch node {
	case nodeNative:
		return f.gather(e)
	case nodeList:
		list, strange, err := listAt(e)
		if err != nil || strange {
			return err
		}
		if err := f.keepList(e, list.Payload()); err != nil {
			return err
		}
		return scatter(e, list)
	}
	return nil
}

// natives reads the bookmarks of XEP-0402.
func natives(e router.Edit) (list []native, err error) {
	all, err := e.Items(nodeNative)
	for _, it := range all {
		if n, ok := readNative(it.ID, it.Payload); ok {
			list = append(list, n)
		}
	}
	return list, err
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

// gather makes the list of what is at the node of XEP-0402 (XEP-0402 §5.3.1).
func (f *feature) gather(e router.Edit) error {
	was, due, err := lastList(e)
	if err == nil && due {
		err = adopt(e, was)
	}
	if err != nil {
		return err
	}
	all, err := natives(e)
	if err != nil {
		return err
	}
	list, changed := collate(was, all)
	if !changed && !due {
		return nil
	}
	if err := e.Publish(nodeList, router.Publication{ID: idList, Payload: list}, router.Oneself); err != nil {
		return err
	}
	return f.keepList(e, list)
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

// scatter makes the items of XEP-0402 those of a list (XEP-0402 §5.3.2). Those that have not
// changed are not published again.
func scatter(e router.Edit, list xmpp.Element) error {
	all, err := natives(e)
	if err != nil {
		return err
	}
	at := map[string]native{}
	for _, n := range all {
		at[n.key] = n
	}
	seen := map[string]bool{}
	for c := range list.Children {
		key, mark, ok := readEntry(c)
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		n, there := at[key]
		if there && n.bookmark == mark {
			continue
		}
		if !there {
			n.id = key
		}
		n.bookmark = mark
		if err := publishNative(e, n); err != nil {
			return err
		}
	}
	for _, n := range all {
		if seen[n.key] {
			continue
		}
		if err := e.Retract(nodeNative, n.id); err != nil {
			return err
		}
	}
	return allThere(e, seen)
}

// allThere refuses a list of more bookmarks than the node takes.
func allThere(e router.Edit, seen map[string]bool) error {
	if list, _, err := listAt(e); err != nil || list.IsZero() {
		return err
	}
	all, err := natives(e)
	if err != nil {
		return err
	}
	for _, n := range all {
		delete(seen, n.key)
	}
	if len(seen) > 0 {
		return xmpp.Refuse("resource-constraint", "there are too many bookmarks")
	}
	return nil
}

// setWithList keeps elements of which one is the list of bookmarks.
func (f *feature) setWithList(ctx context.Context, q *router.Request, list []element, marks element) error {
	if marks.count > 1 {
		return xmpp.Refuse("not-acceptable", "there is one list of bookmarks")
	}
	return q.Turn(func(t *router.Turn) error {
		return f.router.Edit(ctx, t, q.Account, q.From(), func(e router.Edit) error { return f.setBookmarks(e, list, marks.xml) })
	})
}

func (f *feature) setBookmarks(e router.Edit, list []element, marks xmpp.Payload) error {
	if err := convertedAll(e.Tx(), e.Account().ID); err != nil {
		return err
	}
	if err := f.putAll(e.Tx(), e.Account().ID, list); err != nil {
		return err
	}
	if err := e.Publish(nodeList, router.Publication{ID: idList, Payload: marks}, router.Oneself); err != nil { // XEP-0411 §3
		return err
	}
	return scatter(e, xmpp.NewStanza(xmpp.IQ, marks).Payload())
}

// load has bookmarks be converted that were kept before there was conversion, as soon as their
// owner comes (XEP-0411 §4).
func (f *feature) load(tx *storage.Tx, a *router.Account) error {
	due, err := isUnconverted(tx, a.ID)
	if err != nil || !due {
		return err
	}
	bare := a.JID
	f.router.Beside(func() {
		ctx := context.Background()
		err := f.router.WithAccount(ctx, bare, func(a *router.Account) (err error) {
			if a == nil {
				return nil
			}
			failed := a.Do(func(t *router.Turn) { err = f.router.Edit(ctx, t, a, bare, f.convert) })
			if failed != nil {
				return failed
			}
			return err
		})
		if err != nil {
			f.log.Warn("bookmarks in private XML are not at the other places yet", "account", bare.String(), "error", err)
		}
	})
	return nil
}

// convert brings bookmarks in private XML to the nodes, if nobody has until now.
func (f *feature) convert(e router.Edit) error {
	due, err := isUnconverted(e.Tx(), e.Account().ID)
	if err != nil || !due {
		return err
	}
	return f.gather(e)
}

// lastList reads the list as it was last; the zero Element where there is none. It is due to be
// converted where it is from before there was conversion: until then it is at one place alone.
func lastList(e router.Edit) (list xmpp.Element, due bool, err error) {
	due, err = isUnconverted(e.Tx(), e.Account().ID)
	if err != nil {
		return list, false, err
	}
	kept, err := load(e.Tx(), e.Account().ID, listName())
	if err != nil || len(kept) > 0 {
		return xmpp.NewStanza(xmpp.IQ, kept).Payload(), due, err
	}
	list, _, err = listAt(e)
	return list, !list.IsZero(), err
}

// adopt publishes what is in such a list alone. What is at the node of XEP-0402 already is newer,
// and stays.
func adopt(e router.Edit, list xmpp.Element) error {
	all, err := natives(e)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, n := range all {
		there[n.key] = true
	}
	for c := range list.Children {
		key, mark, ok := readEntry(c)
		if !ok || there[key] {
			continue
		}
		there[key] = true
		if err := publishNative(e, native{bookmark: mark, id: key}); err != nil {
			return err
		}
	}
	return nil
}

// publishNative publishes a bookmark, with what of its item only XEP-0402 has words for.
func publishNative(e router.Edit, n native) error {
	var b xmpp.Builder
	n.write(&b, nodeNative, "", n.e)
	return e.Publish(nodeNative, router.Publication{ID: n.id, Payload: b.Payload()}, router.Oneself)
}

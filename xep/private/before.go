package private

import (
	"context"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

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
	list, due, err := lastList(e)
	if err != nil || !due {
		return err
	}
	if err := f.bring(e, list); err != nil {
		return err
	}
	if due, err = isUnconverted(e.Tx(), e.Account().ID); err == nil && due {
		return tooMany()
	}
	return err
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

// bring brings such a list to the node of XEP-0402, and what is there into the list. If these are
// too many together each stays as it is, until a client sets a list that is short enough.
func (f *feature) bring(e router.Edit, was xmpp.Element) error {
	all, err := nativesOf(e)
	if err != nil {
		return err
	}
	if len(all.at) > maxBookmarks {
		return tooMany()
	}
	if len(all.at)+entries(was) > maxBookmarks && union(all, was) > maxBookmarks {
		return nil
	}
	if err := adopt(e, all, was); err != nil {
		return err
	}
	fates, err := fatesOf(e, was, all.ids)
	if err != nil {
		return err
	}
	list, _, _, _ := collate(was, fates)
	return f.relist(e, list)
}

// union returns how many bookmarks there are in a list and at the node.
func union(all natives, list xmpp.Element) int {
	keys := make(map[string]bool, len(all.at))
	for key := range all.at {
		keys[key] = true
	}
	for c := range list.Children {
		if key, _, ok := readEntry(c); ok {
			keys[key] = true
		}
	}
	return len(keys)
}

// adopt publishes what is in such a list alone. What is at the node of XEP-0402 already is newer,
// and stays.
func adopt(e router.Edit, all natives, list xmpp.Element) error {
	seen := map[string]bool{}
	for c := range list.Children {
		key, mark, ok := readEntry(c)
		if !ok || seen[key] || all.at[key] != "" {
			continue
		}
		seen[key] = true
		if err := publishNative(e, native{bookmark: mark, id: key}); err != nil {
			return err
		}
	}
	return nil
}

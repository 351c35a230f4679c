package roster

import (
	"slices"

	"parley/router"
)

// distant has the users who see contacts of another domain hear that these are not there any
// more, as the answer to a probe would say it (RFC 6121 §4.3.2), when the domain cannot be
// reached. When it can again they are asked for.
func (f *feature) distant(local, remote string, reached bool) {
	f.router.Everybody(func(a *router.Account) bool {
		list, held := f.held(a)
		return held && a.JID.Domain() == local && slices.ContainsFunc(list, func(c contact) bool {
			return c.seesContact() && c.jid.Domain() == remote
		})
	}, func(t *router.Turn, a *router.Account) {
		list, held := f.held(a)
		if !held || !available(a) {
			return
		}
		for _, c := range list {
			switch {
			case !c.seesContact() || c.jid.Domain() != remote:
			case reached:
				f.router.Deliver(&t.Round, presenceOf("probe", "", a.JID, c.jid))
			default:
				f.absentNow(t, a, c)
			}
		}
	})
}

func (f *feature) absentNow(t *router.Turn, a *router.Account, c contact) {
	st := presenceOf("unavailable", "", c.jid, a.JID)
	if f.router.MayGet(a, st) != nil {
		return
	}
	for _, res := range a.Resources() {
		if res.Available() {
			t.Push(res.Session, st)
		}
	}
}

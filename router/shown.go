package router

import (
	"bytes"

	"parley/xmpp"
)

// shown is what others see of presence that a client of the account has sent: broadcast or
// to one address, of whatever type. It never waits. A panic leaves it as it is.
func (r *Router) shown(a *Account, st *xmpp.Stanza) (out *xmpp.Stanza) {
	out = st
	if len(r.shows) == 0 {
		return out
	}
	defer r.caught("a step", nil)
	for _, show := range r.shows {
		out = show(a, out)
	}
	return out
}

// Reshow has the features look again at what each available resource of an account has
// said, and shows what has come to be different. Its time stays that of what was said.
// Directed presence is not repeated.
func (r *Router) Reshow(t *Turn, a *Account) {
	for _, res := range a.Resources() {
		if !res.Available() {
			continue
		}
		st := r.shown(a, res.said)
		if bytes.Equal(st.Body(), res.Presence.Body()) {
			continue
		}
		before, after, ok := a.change(res.Session, func(res *Resource) { res.Presence = st })
		if ok {
			r.show(t, a, PresenceChange{before, after, st})
		}
	}
}

// Absent asks the features what is told of an account of which no resource is available,
// to somebody who may see its presence. It may wait for storage.
func (r *Router) Absent(t *Turn, a *Account) xmpp.Payload {
	var all xmpp.Payload
	for _, f := range r.features {
		if f.Absent != nil {
			all = append(all, f.Absent(t, a)...)
		}
	}
	return all
}

// Capabilities returns the disco features (XEP-0030 §3.1) of a resource whose last presence
// is st: those that it has announced a hash of, once they were asked for and have matched
// (XEP-0115 §5.4, XEP-0390 §4.4). The resource may be one of this house or not. It never
// waits; where known is false, Known tells later, for a resource of this house. The list
// must not be changed.
func (r *Router) Capabilities(full xmpp.JID, st *xmpp.Stanza) (features []string, known bool) {
	for _, f := range r.features {
		if f.Capabilities == nil {
			continue
		}
		if features, known = f.Capabilities(full, st); known {
			return features, true
		}
	}
	return nil, false
}

// Known tells the features what an available resource of the account can do, whenever that
// comes to be known or changes: in the turn of its presence, behind or before their own
// hooks for that, or later. The list must not be changed.
func (r *Router) Known(t *Turn, a *Account, res Resource, features []string) {
	for _, f := range r.features {
		if f.Known != nil {
			f.Known(t, a, res, features)
		}
	}
}

// Inquire finds out what a resource of another house can do, which has sent the presence st
// to an account: from memory, from the disk, or by asking it in the account's name. then is
// called once with the disco features, at once or later and by anybody, and not at all where
// they do not come to be known. It never waits. The list must not be changed.
func (r *Router) Inquire(a *Account, st *xmpp.Stanza, then func(features []string)) {
	for _, f := range r.features {
		if f.Inquire != nil {
			f.Inquire(a, st, then)
			return
		}
	}
}

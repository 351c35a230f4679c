package delegation

import (
	"slices"
	"strings"
	"sync"

	"parley/router"
	"parley/xmpp"
)

// How much one component may add to what is said of the server, for one namespace.
const (
	maxFeatures   = 200
	maxIdentities = 20
	maxForms      = 10
)

// nested remembers what components can do with what is delegated to them (XEP-0355 §9).
type nested struct {
	mu    sync.Mutex // a leaf
	about map[about]xmpp.Info
	old   map[xmpp.JID]bool // knows the older namespace alone
}

// about is what was asked of whom.
type about struct {
	of    xmpp.JID
	space string
	bare  bool
}

// spaceOf returns the namespace of this protocol that a component knows.
func (n *nested) spaceOf(component xmpp.JID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.old[component] {
		return nsOld
	}
	return ns
}

func (n *nested) of(k about) (xmpp.Info, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	in, ok := n.about[k]
	return in, ok
}

// put remembers what a component has said; old says that it was asked in the older namespace.
func (n *nested) put(k about, in xmpp.Info, old bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.about == nil {
		n.about, n.old = map[about]xmpp.Info{}, map[xmpp.JID]bool{}
	}
	n.about[k] = in
	n.old[k.of] = old
}

// forget has a component be asked anew.
func (n *nested) forget(component xmpp.JID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.about {
		if k.of == component {
			delete(n.about, k)
		}
	}
	delete(n.old, component)
}

// learn asks a component what it can do with each namespace, for the server and for its users
// (XEP-0355 §7.2.1, §7.2.2).
func (f *feature) learn(component xmpp.JID, list []*delegated) {
	f.nested.forget(component)
	f.router.Nested()
	hosts := f.router.Hosts()
	from, err := xmpp.NewJID("", hosts[0], "")
	if err != nil {
		return
	}
	for _, d := range list {
		if special(d.Space) {
			continue
		}
		for _, bare := range []bool{false, true} {
			f.inquire(from, about{component, d.Space, bare}, false)
		}
	}
}

// inquire asks one of these questions; where it is not understood, once more as the older
// namespace has it, which has none about accounts.
func (f *feature) inquire(from xmpp.JID, k about, old bool) {
	node := ns + "::" + k.space
	switch {
	case old:
		node = nsOld + "::" + k.space
	case k.bare:
		node = ns + ":bare:" + k.space
	}
	var b xmpp.Builder
	f.router.Ask(from, k.of, "get", b.Open(xmpp.NSInfo, "query", "node", node).Payload(), patience, func(st *xmpp.Stanza) {
		in, ok := xmpp.ParseInfo(st.Payload())
		switch {
		case st.Type == "result" && ok:
			f.nested.put(k, bounded(in), old)
			f.router.Nested()
		case !old && !k.bare && refused(st):
			f.inquire(from, k, true)
		}
	})
}

// refused reports whether a component has answered that it knows no such node.
func refused(st *xmpp.Stanza) bool {
	e := xmpp.ErrorOf(st)
	return st.Type == "error" && e != nil && e.Condition != "remote-server-timeout"
}

func bounded(in xmpp.Info) xmpp.Info {
	in.Features = in.Features[:min(len(in.Features), maxFeatures)]
	in.Identities = in.Identities[:min(len(in.Identities), maxIdentities)]
	in.Forms = in.Forms[:min(len(in.Forms), maxForms)]
	return in
}

// nest says of a delegated namespace what its component says, and nothing of our own
// (XEP-0355 §7.2).
func (f *feature) nest(_ string, bare bool, what *router.NodeInfo) {
	table := f.table()
	if len(table.bySpace) == 0 {
		return
	}
	for _, d := range table.all {
		if special(d.Space) || table.bySpace[d.Space] != d {
			continue
		}
		what.Features = slices.DeleteFunc(slices.Clone(what.Features), func(v string) bool { return belongs(v, d.Space) })
		what.Forms = slices.DeleteFunc(slices.Clone(what.Forms), func(x xmpp.Form) bool { return belongs(x.Value("FORM_TYPE"), d.Space) })
	}
	for _, d := range table.all {
		in, known := f.nested.of(about{d.to, d.Space, bare})
		if !known || table.bySpace[d.Space] != d {
			continue
		}
		for _, id := range in.Identities {
			what.Identities = append(what.Identities, router.Identity{Category: id.Category, Type: id.Type, Name: id.Name})
		}
		what.Features = append(what.Features, in.Features...)
		what.Forms = append(what.Forms, in.Forms...)
	}
	slices.Sort(what.Features)
	what.Features = slices.Compact(what.Features)
}

// belongs reports whether a feature, or a form, is about a namespace.
func belongs(what, space string) bool {
	return what == space || strings.HasPrefix(what, space+"#")
}

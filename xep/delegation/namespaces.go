package delegation

import (
	"fmt"
	"slices"
	"strings"

	"parley/xmpp"
)

// A Namespace is one that is delegated, for requests whose payload has all these attributes
// (XEP-0355 §4.1).
type Namespace struct {
	Space string
	Attrs []string
}

// maxNamespaces is how many namespaces may be delegated to one component.
const maxNamespaces = 100

// Parse reads what a configuration delegates to a component: a namespace each, and after blanks
// the attributes that a request must have.
func Parse(list []string) (all []Namespace, err error) {
	if len(list) > maxNamespaces {
		return nil, fmt.Errorf("there are %d, and more than %d are too many", len(list), maxNamespaces)
	}
	for _, s := range list {
		words := strings.Fields(s)
		switch {
		case len(words) == 0:
			return nil, fmt.Errorf("%q is no namespace", s)
		case special(words[0]) && len(words) > 1:
			return nil, fmt.Errorf("%s has no attributes", words[0])
		case strings.HasPrefix(words[0], prefix) && !special(words[0]): // XEP-0355 §8
			return nil, fmt.Errorf("%s cannot be delegated", words[0])
		}
		all = append(all, Namespace{words[0], words[1:]})
	}
	return all, nil
}

func special(space string) bool { return space == infoOfNodes || space == itemsOfAll }

// A Table is what is delegated to whom. It never changes.
type Table struct {
	bySpace map[string]*delegated
	all     []*delegated
}

type delegated struct {
	Namespace
	to xmpp.JID
}

// NewTable returns the table of namespaces by component. Of two that have the same namespace
// the first in the order of their domains has it.
func NewTable(of map[string][]Namespace) *Table {
	t := &Table{bySpace: map[string]*delegated{}}
	for domain, list := range of {
		jid, err := xmpp.NewJID("", domain, "")
		if err != nil {
			continue
		}
		for _, n := range list {
			t.all = append(t.all, &delegated{n, jid})
		}
	}
	slices.SortFunc(t.all, func(a, b *delegated) int {
		return strings.Compare(a.to.String()+" "+a.Space, b.to.String()+" "+b.Space)
	})
	for _, d := range t.all {
		if t.bySpace[d.Space] == nil {
			t.bySpace[d.Space] = d
		}
	}
	return t
}

// of returns what is delegated to one component.
func (t *Table) of(component xmpp.JID) (list []*delegated) {
	for _, d := range t.all {
		if d.to == component && t.bySpace[d.Space] == d {
			list = append(list, d)
		}
	}
	return list
}

// takes reports whether a request with this payload is for the component.
func (d *delegated) takes(payload xmpp.Element) bool {
	for _, a := range d.Attrs {
		if _, ok := payload.LookupAttr(a); !ok {
			return false
		}
	}
	return true
}

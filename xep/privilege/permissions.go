package privilege

import (
	"fmt"
	"slices"
	"strings"

	"parley/xmpp"
)

// Permissions are what a component may do, in the words of the configuration. An empty word is
// none.
type Permissions struct {
	Roster   string   // none, get, set or both (XEP-0356 §4.1)
	Message  string   // none or outgoing (XEP-0356 §5.1)
	Presence string   // none, managed_entity or roster (XEP-0356 §7)
	IQ       []string // namespace=get, namespace=set or namespace=both (XEP-0356 §6.1)
}

// maxIQ is for how many namespaces one component may send requests.
const maxIQ = 100

// Check says what is wrong with permissions; key is the field's, as a configuration writes it.
func (p Permissions) Check() (key string, err error) {
	for _, f := range []struct {
		key, value string
		words      []string
	}{
		{"roster", p.Roster, []string{"none", "get", "set", "both"}},
		{"message", p.Message, []string{"none", "outgoing"}},
		{"presence", p.Presence, []string{"none", "managed_entity", "roster"}},
	} {
		if f.value != "" && !slices.Contains(f.words, f.value) {
			return f.key, fmt.Errorf("%q is none of %s", f.value, strings.Join(f.words, ", "))
		}
	}
	if p.Presence == "roster" && p.Roster != "get" && p.Roster != "both" { // XEP-0356 §7.4
		return "presence", fmt.Errorf("who is told of contacts may read contacts: roster has to be get or both")
	}
	if len(p.IQ) > maxIQ {
		return "iq", fmt.Errorf("there are %d, and more than %d are too many", len(p.IQ), maxIQ)
	}
	for _, s := range p.IQ {
		if ns, how := cut(s); ns == "" || !slices.Contains([]string{"none", "get", "set", "both"}, how) {
			return "iq", fmt.Errorf("%q is not of the form namespace=get, =set or =both", s)
		}
	}
	return "", nil
}

// cut takes the last = for what separates: a namespace may have others.
func cut(s string) (ns, how string) {
	i := strings.LastIndexByte(s, '=')
	if i < 0 {
		return "", ""
	}
	return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:])
}

// A Table is who may do what. It never changes.
type Table struct {
	byDomain map[string]*grant
	all      []*grant
	presence bool // some are told of presence
	contacts bool // and of that of contacts
	pushes   bool // some are told of changes in rosters
}

// grant is what one component may do.
type grant struct {
	Permissions
	jid xmpp.JID
	iq  map[string]string // namespace -> get, set, both
}

// NewTable returns the table of permissions that have been checked, by domain.
func NewTable(of map[string]Permissions) *Table {
	t := &Table{byDomain: map[string]*grant{}}
	for domain, p := range of {
		jid, err := xmpp.NewJID("", domain, "")
		if err != nil {
			continue
		}
		g := &grant{Permissions: p, jid: jid, iq: map[string]string{}}
		for _, s := range p.IQ {
			if ns, how := cut(s); how != "none" {
				g.iq[ns] = how
			}
		}
		t.byDomain[domain] = g
		t.all = append(t.all, g)
		t.presence = t.presence || g.presence()
		t.contacts = t.contacts || g.Presence == "roster"
		t.pushes = t.pushes || g.pushes()
	}
	slices.SortFunc(t.all, func(a, b *grant) int { return strings.Compare(a.jid.String(), b.jid.String()) })
	return t
}

// of returns what an entity may do; nil: nothing. Only the component itself has permissions,
// nobody at its domain.
func (t *Table) of(who xmpp.JID) *grant {
	if !who.IsHost() {
		return nil
	}
	return t.byDomain[who.Domain()]
}

// allows reports whether a word permits requests of that type.
func allows(word, typ string) bool { return word == "both" || word == typ }

func (g *grant) pushes() bool   { return allows(g.Roster, "get") }
func (g *grant) messages() bool { return g.Message == "outgoing" }
func (g *grant) presence() bool { return g.Presence == "managed_entity" || g.Presence == "roster" }

// payload is what the component is told of its permissions, nil where it has none
// (XEP-0356 §4.2, §5.2, §6.2, §7.2). IQ permissions are new in the newer namespace.
func (g *grant) payload(space string) xmpp.Payload {
	var b xmpp.Builder
	b.Open(space, "privilege")
	n := 0
	perm := func(access, word string, attrs ...string) {
		if word == "" || word == "none" {
			return
		}
		n++
		b.Open("", "perm", append([]string{"access", access, "type", word}, attrs...)...).Close()
	}
	if g.pushes() && space == ns {
		perm("roster", g.Roster, "push", "true")
	} else {
		perm("roster", g.Roster)
	}
	perm("message", g.Message)
	if len(g.iq) > 0 && space == ns {
		n++
		b.Open("", "perm", "access", "iq")
		for _, s := range g.IQ {
			if space, how := cut(s); g.iq[space] == how {
				b.Open("", "namespace", "ns", space, "type", how).Close()
			}
		}
		b.Close()
	}
	perm("presence", g.Presence)
	if n == 0 {
		return nil
	}
	return b.Payload()
}

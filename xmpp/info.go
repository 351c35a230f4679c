package xmpp

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// NSInfo is the namespace of the question what an entity is and can do (XEP-0030 §3).
const NSInfo = "http://jabber.org/protocol/disco#info"

// An Info is the answer to that question (XEP-0030 §3.1), with the forms of XEP-0128.
type Info struct {
	Identities []Identity
	Features   []string
	Forms      []Form

	more bool // there is something in it that this does not show
}

// An Identity is what an entity is. Lang is the language of Name, "" where it does not say.
type Identity struct{ Category, Type, Lang, Name string }

// Why an answer cannot be hashed.
var (
	errTwice   = errors.New("the same identity, feature or form twice")
	errNoType  = errors.New("a form that does not say which it is")
	errUnknown = errors.New("more than identities, features and forms")
)

// ParseInfo reads a <query/> of NSInfo; ok is false if e is none.
func ParseInfo(e Element) (in Info, ok bool) {
	if !e.Is(NSInfo, "query") {
		return Info{}, false
	}
	for c := range e.Children {
		switch {
		case c.Is(NSInfo, "identity"):
			in.Identities = append(in.Identities, Identity{c.Attr("category"), c.Attr("type"), c.Lang(), c.Attr("name")})
		case c.Is(NSInfo, "feature"):
			in.Features = append(in.Features, c.Attr("var"))
		case c.Is(NSForm, "x"):
			f, _ := ParseForm(c)
			in.Forms = append(in.Forms, f)
			in.more = in.more || !c.Child(NSForm, "reported").IsZero() || !c.Child(NSForm, "item").IsZero()
		default:
			in.more = true
		}
	}
	return in, true
}

// InLang returns the answer in which each identity that does not say its language has that
// of what it stands in.
func (in Info) InLang(lang string) Info {
	in.Identities = slices.Clone(in.Identities)
	for i := range in.Identities {
		if in.Identities[i].Lang == "" {
			in.Identities[i].Lang = lang
		}
	}
	return in
}

// Legacy returns what the verification string of XEP-0115 §5.1 is a hash of, or an error
// for an answer that is ill-formed (XEP-0115 §5.4). Languages are those that identities say
// themselves.
func (in Info) Legacy() ([]byte, error) {
	var out []byte
	add := func(s string) { out = append(append(out, s...), '<') }
	ids := slices.SortedFunc(slices.Values(in.Identities), func(a, b Identity) int {
		return cmp.Or(strings.Compare(a.Category, b.Category), strings.Compare(a.Type, b.Type),
			strings.Compare(a.Lang, b.Lang), strings.Compare(a.Name, b.Name))
	})
	features := slices.Sorted(slices.Values(in.Features))
	if len(slices.Compact(slices.Clone(ids))) < len(ids) || len(slices.Compact(slices.Clone(features))) < len(features) {
		return nil, errTwice
	}
	for _, id := range ids {
		add(id.Category + "/" + id.Type + "/" + id.Lang + "/" + id.Name)
	}
	for _, f := range features {
		add(f)
	}
	forms, err := in.Named()
	if err != nil {
		return nil, err
	}
	for _, f := range forms {
		add(f.Value("FORM_TYPE"))
		fields := slices.SortedStableFunc(slices.Values(f.Fields), func(a, b Field) int { return strings.Compare(a.Var, b.Var) })
		for _, fd := range fields {
			if fd.Var == "FORM_TYPE" {
				continue
			}
			add(fd.Var)
			for _, v := range slices.Sorted(slices.Values(fd.Values)) {
				add(v)
			}
		}
	}
	return out, nil
}

// Named returns the forms that XEP-0115 §5.4 counts, those with a hidden FORM_TYPE, in the
// order of that; or an error for what it calls ill-formed.
func (in Info) Named() ([]Form, error) {
	var all []Form
	for _, f := range in.Forms {
		hidden := false
		types := map[string]bool{}
		for _, fd := range f.Fields {
			if fd.Var == "FORM_TYPE" && fd.Type == "hidden" {
				hidden = true
				for _, v := range fd.Values {
					types[v] = true
				}
			}
		}
		if len(types) > 1 {
			return nil, errTwice
		}
		if hidden && len(types) == 1 {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Form) int { return strings.Compare(a.Value("FORM_TYPE"), b.Value("FORM_TYPE")) })
	for i := 1; i < len(all); i++ {
		if all[i].Value("FORM_TYPE") == all[i-1].Value("FORM_TYPE") {
			return nil, errTwice
		}
	}
	return all, nil
}

// Input returns what a capability hash is a hash of (XEP-0390 §4.1), or an error for an
// answer that has none.
func (in Info) Input() ([]byte, error) {
	if in.more {
		return nil, errUnknown
	}
	var features, ids, forms []string
	for _, f := range in.Features {
		features = append(features, f+"\x1f")
	}
	for _, id := range in.Identities {
		ids = append(ids, id.Category+"\x1f"+id.Type+"\x1f"+id.Lang+"\x1f"+id.Name+"\x1f\x1e")
	}
	for _, f := range in.Forms {
		if !standard(f) {
			return nil, errNoType
		}
		var fields []string
		for _, fd := range f.Fields {
			var values []string
			for _, v := range fd.Values {
				values = append(values, v+"\x1f")
			}
			fields = append(fields, fd.Var+"\x1f"+inOrder(values)+"\x1e")
		}
		forms = append(forms, inOrder(fields)+"\x1d")
	}
	return []byte(inOrder(features) + "\x1c" + inOrder(ids) + "\x1c" + inOrder(forms) + "\x1c"), nil
}

// standard reports whether a form says which it is (XEP-0068 §3.1): once, and hidden unless
// it is submitted.
func standard(f Form) bool {
	n := 0
	for _, fd := range f.Fields {
		if fd.Var != "FORM_TYPE" {
			continue
		}
		n++
		if len(fd.Values) != 1 || fd.Type != "hidden" && f.Type != "submit" {
			return false
		}
	}
	return n == 1
}

// inOrder puts strings one behind the other, in the order of their octets.
func inOrder(list []string) string {
	slices.Sort(list)
	return strings.Join(list, "")
}

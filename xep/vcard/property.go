package vcard

import (
	"slices"
	"strings"
	"time"

	"parley/xmpp"
)

// A value is what one element of a card says, in both formats alike.
type value struct {
	kinds []string // home, work, voice ..., in the order of kinds()
	parts []string
}

func equal(a, b []value) bool {
	return slices.EqualFunc(a, b, func(x, y value) bool { return slices.Equal(x.kinds, y.kinds) && slices.Equal(x.parts, y.parts) })
}

// kinds are the types that both formats have for telephones, mail and addresses, and which one is
// preferred (XEP-0292 §11.3.1, §11.3.5).
func kinds() []string {
	return []string{"home", "work", "voice", "fax", "cell", "pager", "video", "text", prefer}
}

const prefer = "pref"

// A property is one that both formats have (XEP-0292 §11).
type property struct {
	temp, four string
	also       string   // another name of it in vcard-temp
	inTemp     []string // where its parts are in vcard-temp; nil: its text
	inFour     []string // where its parts are in vCard4, of structured ones
	typed      bool     // with kinds
	list       bool     // any number of parts of one name
	scheme     string   // of URIs that vCard4 writes it as
	as         string   // the element of its value in vCard4
	extra      string   // an element that vcard-temp has in it
}

// properties are all of them, in the order in which new ones are written.
func properties() []property {
	return []property{
		{temp: "FN", four: "fn", as: "text"},
		{temp: "N", four: "n", inTemp: []string{"FAMILY", "GIVEN", "MIDDLE", "PREFIX", "SUFFIX"},
			inFour: []string{"surname", "given", "additional", "prefix", "suffix"}}, // XEP-0292 §11.1.3
		{temp: "NICKNAME", four: "nickname", as: "text"},
		{temp: "BDAY", four: "bday", as: "date"},
		{temp: "ADR", four: "adr", typed: true, inTemp: []string{"POBOX", "EXTADD", "STREET", "LOCALITY", "REGION", "PCODE", "CTRY"},
			inFour: []string{"pobox", "ext", "street", "locality", "region", "code", "country"}},
		{temp: "TEL", four: "tel", typed: true, inTemp: []string{"NUMBER"}, as: "uri", scheme: "tel:"},
		{temp: "EMAIL", four: "email", typed: true, inTemp: []string{"USERID"}, as: "text", extra: "INTERNET"},
		{temp: "JABBERID", four: "impp", as: "uri", scheme: "xmpp:"}, // XEP-0292 §11.1.2
		{temp: "TITLE", four: "title", as: "text"},
		{temp: "ROLE", four: "role", as: "text"},
		{temp: "ORG", four: "org", inTemp: []string{"ORGNAME", "ORGUNIT"}, list: true, as: "text"},
		{temp: "URL", four: "url", as: "uri"},
		{temp: "DESC", also: "NOTE", four: "note", as: "text"}, // XEP-0292 §11.1.1
		{temp: "CATEGORIES", four: "categories", inTemp: []string{"KEYWORD"}, list: true, as: "text"},
		{temp: "TZ", four: "tz", as: "text"},
		{temp: "GEO", four: "geo", inTemp: []string{"LAT", "LON"}, as: "uri", scheme: "geo:"},
		{temp: "UID", four: "uid", as: "text"},
	}
}

// propertyOf returns which one an element is, -1 for none.
func propertyOf(props []property, s side, e xmpp.Element) int {
	return slices.IndexFunc(props, func(p property) bool {
		if s == four {
			return e.Is(ns4, p.four)
		}
		return e.Is(ns, p.temp) || p.also != "" && e.Is(ns, p.also)
	})
}

// all returns what a card says of the property.
func (p property) all(s side, card xmpp.Element) (list []value) {
	for e := range card.Children {
		if propertyOf([]property{p}, s, e) == 0 {
			list = append(list, p.read(s, e)...)
		}
	}
	return list
}

// blank reports whether an element has nothing in it. One that has, and of which read makes
// nothing, says what the other format has no words for.
func (p property) blank(e xmpp.Element) bool {
	if strings.TrimSpace(e.Text()) != "" {
		return false
	}
	for c := range e.Children {
		if !p.blank(c) {
			return false
		}
	}
	return true
}

// read returns what an element says: nothing, where there is nothing in it that the other format
// has words for.
func (p property) read(s side, e xmpp.Element) []value {
	if s == temp {
		return p.readTemp(e)
	}
	return p.readFour(e)
}

func (p property) readTemp(e xmpp.Element) []value {
	var v value
	switch {
	case p.inTemp == nil:
		v.parts = []string{strings.TrimSpace(e.Text())}
	case p.list:
		for c := range e.Children {
			if slices.Contains(p.inTemp, c.Name().Local) {
				v.add(c.Text())
			}
		}
	default:
		for _, name := range p.inTemp {
			v.parts = append(v.parts, strings.TrimSpace(e.ChildText(ns, name)))
		}
	}
	if p.typed {
		for _, k := range kinds() {
			if !e.Child(ns, strings.ToUpper(k)).IsZero() {
				v.kinds = append(v.kinds, k)
			}
		}
	}
	return v.some()
}

// add adds a part of a list, unless it is empty.
func (v *value) add(text string) {
	if text = strings.TrimSpace(text); text != "" {
		v.parts = append(v.parts, text)
	}
}

// some is the value in a list; none for one that says nothing.
func (v value) some() []value {
	if strings.Join(v.parts, "") == "" {
		return nil
	}
	return []value{v}
}

func (p property) readFour(e xmpp.Element) (list []value) {
	given := p.kindsOf(e.Child(ns4, "parameters"))
	if p.inFour != nil {
		v := value{kinds: given}
		for _, name := range p.inFour {
			var all value
			for c := range e.Children {
				if c.Is(ns4, name) {
					all.add(c.Text())
				}
			}
			v.parts = append(v.parts, strings.Join(all.parts, " "))
		}
		return v.some()
	}
	together := value{kinds: given}
	for c := range e.Children {
		if c.Is(ns4, "parameters") {
			continue
		}
		if p.list {
			together.add(c.Text())
			continue
		}
		if parts := p.split(strings.TrimSpace(c.Text()), c.Name().Local); parts != nil {
			list = append(list, value{kinds: given, parts: parts}.some()...)
		}
	}
	return append(list, together.some()...)
}

// split reads the value of a property that is no list; nil where vcard-temp has no words for it.
func (p property) split(text, as string) []string {
	rest, ok := strings.CutPrefix(text, p.scheme)
	switch {
	case !ok && (p.temp != "TEL" || as == "uri"):
		return nil
	case p.temp == "GEO":
		lat, lon, ok := strings.Cut(rest, ",")
		if !ok || strings.ContainsAny(lon, ",;") {
			return nil
		}
		return []string{lat, lon}
	}
	return []string{rest}
}

func (p property) kindsOf(parameters xmpp.Element) (list []string) {
	if !p.typed {
		return nil
	}
	types := parameters.Child(ns4, "type")
	for _, k := range kinds() {
		for c := range types.Children {
			if strings.EqualFold(strings.TrimSpace(c.Text()), k) && !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
	}
	if !parameters.Child(ns4, prefer).IsZero() && !slices.Contains(list, prefer) {
		list = append(list, prefer)
	}
	return list
}

// write writes a value in one of the formats.
func (p property) write(s side, b *xmpp.Builder, v value) {
	if s == temp {
		p.writeTemp(b, v)
	} else {
		p.writeFour(b, v)
	}
}

func (p property) writeTemp(b *xmpp.Builder, v value) {
	if p.inTemp == nil {
		b.Leaf("", p.temp, v.parts[0])
		return
	}
	b.Open("", p.temp)
	for _, k := range v.kinds {
		b.Open("", strings.ToUpper(k)).Close()
	}
	if p.extra != "" {
		b.Open("", p.extra).Close()
	}
	for i, part := range v.parts {
		if name := p.inTemp[min(i, len(p.inTemp)-1)]; part != "" {
			b.Leaf("", name, part)
		}
	}
	b.Close()
}

// isDate reports whether a text is a date as XML writes it.
func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func (p property) writeFour(b *xmpp.Builder, v value) {
	b.Open("", p.four)
	if len(v.kinds) > 0 {
		p.writeKinds(b, v.kinds)
	}
	switch {
	case p.inFour != nil:
		for i, name := range p.inFour {
			b.Leaf("", name, v.parts[i])
		}
	case p.list:
		for _, part := range v.parts {
			b.Leaf("", p.as, part)
		}
	case p.as == "date" && !isDate(v.parts[0]):
		b.Leaf("", "text", v.parts[0])
	default:
		b.Leaf("", p.as, p.scheme+strings.Join(v.parts, ","))
	}
	b.Close()
}

func (p property) writeKinds(b *xmpp.Builder, list []string) {
	b.Open("", "parameters")
	if types := slices.DeleteFunc(slices.Clone(list), func(k string) bool { return k == prefer }); len(types) > 0 {
		b.Open("", "type")
		for _, k := range types {
			b.Leaf("", "text", k)
		}
		b.Close()
	}
	if slices.Contains(list, prefer) {
		b.Open("", prefer).Leaf("", "integer", "1").Close()
	}
	b.Close()
}

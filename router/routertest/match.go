package routertest

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"parley/xmpp"
)

// Match compares a stanza with a pattern and returns "", or in what they differ.
//
// A pattern is a stanza. Of the stanza itself only the attributes that the pattern has are
// compared, and 'type', which must be absent where the pattern has none; an empty value
// wants an attribute to be absent. Of children everything is compared, and their order. In
// values and text '*' stands for anything, and '**' as a value also for an attribute that is
// not there. '…' stands for any content up to what follows it.
// Where the pattern speaks of no <stanza-id/>, those of the account that hears the stanza are
// not looked at: what it keeps it has under an id (XEP-0313 §3.5).
func Match(pattern string, st *xmpp.Stanza) string {
	want, err := parse(pattern)
	if err != nil {
		return fmt.Sprintf("the pattern: %v", err)
	}
	got, err := parse(st.String())
	if err != nil {
		return fmt.Sprintf("what was heard: %v", err)
	}
	if !strings.Contains(pattern, "stanza-id") {
		got.without(func(n *node) bool {
			return n.name == xml.Name{Space: "urn:xmpp:sid:0", Local: "stanza-id"} && n.attrs["by"] == st.To.Bare().String()
		})
	}
	if want.name != got.name {
		return fmt.Sprintf("<%s/> instead of <%s/>", got.name.Local, want.name.Local)
	}
	if _, ok := want.attrs["type"]; !ok {
		want.attrs["type"] = ""
	}
	for name, v := range want.attrs {
		if !glob(v, got.attrs[name]) {
			return fmt.Sprintf("%s is %q instead of %q", name, got.attrs[name], v)
		}
	}
	return matchContent(want, got)
}

func matchContent(want, got *node) string {
	n, skips := 0, false // of got
	for _, w := range want.content {
		if w.text == "…" {
			skips = true
			continue
		}
		for skips && n < len(got.content) && matchNode(w, got.content[n]) != "" {
			n++
		}
		if n >= len(got.content) {
			return fmt.Sprintf("%s is missing in <%s/>", w, got.name.Local)
		}
		if why := matchNode(w, got.content[n]); why != "" {
			return why
		}
		n, skips = n+1, false
	}
	if len(got.content) > n && !skips {
		return fmt.Sprintf("%s is too much in <%s/>", got.content[n], got.name.Local)
	}
	return ""
}

func matchNode(want, got *node) string {
	if want.name != got.name || want.name.Local == "" && !glob(want.text, got.text) {
		return fmt.Sprintf("%s instead of %s", got, want)
	}
	for name, v := range want.attrs {
		if !glob(v, got.attrs[name]) {
			return fmt.Sprintf("%s of <%s/> is %q instead of %q", name, got.name.Local, got.attrs[name], v)
		}
	}
	for name, v := range got.attrs {
		if _, ok := want.attrs[name]; !ok {
			return fmt.Sprintf("<%s/> has %s=%q", got.name.Local, name, v)
		}
	}
	return matchContent(want, got)
}

// glob reports whether s is as p says, where '*' in p stands for anything.
func glob(p, s string) bool {
	parts := strings.Split(p, "*")
	switch {
	case len(parts) == 1:
		return p == s
	case p == "*":
		return s != ""
	}
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// A node is an element, or a run of text where it has no name.
type node struct {
	name    xml.Name
	attrs   map[string]string
	text    string
	content []*node
}

// without takes out what drop says so of, at any depth.
func (n *node) without(drop func(*node) bool) {
	n.content = slices.DeleteFunc(n.content, drop)
	for _, c := range n.content {
		c.without(drop)
	}
}

func (n *node) String() string {
	switch {
	case n.name.Local == "":
		return fmt.Sprintf("%q", n.text)
	case n.name.Space == xmpp.NSClient:
		return "<" + n.name.Local + "/>"
	}
	return fmt.Sprintf("<%s xmlns='%s'/>", n.name.Local, n.name.Space)
}

// bind notes what stands in the attributes of got where n has a name, which begins with $.
func (n *node) bind(got *node, values map[string]string) {
	for attr, v := range n.attrs {
		if name, ok := strings.CutPrefix(v, "$"); ok {
			values[name] = got.attrs[attr]
		}
	}
	i := 0
	for at, c := range n.content {
		if c.text == "…" {
			continue
		}
		for at > 0 && n.content[at-1].text == "…" && matchNode(c.anything(), got.content[i]) != "" {
			i++
		}
		c.bind(got.content[i], values)
		i++
	}
}

// anything is the pattern with names standing for anything.
func (n *node) anything() *node {
	c := *n
	c.attrs = map[string]string{}
	for attr, v := range n.attrs {
		if strings.HasPrefix(v, "$") {
			v = "*"
		}
		c.attrs[attr] = v
	}
	c.content = nil
	for _, k := range n.content {
		c.content = append(c.content, k.anything())
	}
	return &c
}

// parse reads one element. White space around elements and text is laid out by people and
// means nothing.
func parse(s string) (*node, error) {
	d := xml.NewDecoder(strings.NewReader("<stream xmlns='" + xmpp.NSClient + "'>" + s + "</stream>"))
	stack := []*node{{}}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &node{name: tok.Name, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				if a.Name.Local == "xmlns" || a.Name.Space == "xmlns" {
					continue
				}
				n.attrs[strings.TrimPrefix(a.Name.Space+" "+a.Name.Local, " ")] = a.Value
			}
			top.content = append(top.content, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(tok)); text != "" {
				top.content = append(top.content, &node{text: text})
			}
		}
	}
	top := stack[0].content[0].content
	if len(top) != 1 || top[0].name.Local == "" {
		return nil, fmt.Errorf("%d elements instead of one", len(top))
	}
	return top[0], nil
}

package xmpp

import "strconv"

// NSRSM is the namespace of result set management (XEP-0059).
const NSRSM = "http://jabber.org/protocol/rsm"

// A Paging is the page of a result set that a request asks for (XEP-0059 §2).
type Paging struct {
	Max   int    // items at most; -1 where the request does not say
	Index int    // of the first item (XEP-0059 §2.6); -1 where the request does not say
	After string // the page begins behind this item (XEP-0059 §2.2); "" for the first
	// Before is the item that the page ends before (XEP-0059 §2.3); with Backwards and
	// without Before it is the last page (XEP-0059 §2.5).
	Before    string
	Backwards bool
}

// ParsePaging reads the <set/> among the children of e; without one it is a Paging that
// asks for nothing. The error is bad-request: a number that is none or does not fit into
// 31 bits (XEP-0059 §8 has them as xs:int), or an index together with an item.
func ParsePaging(e Element) (Paging, error) {
	p := Paging{Max: -1, Index: -1}
	set := e.Child(NSRSM, "set")
	for c := range set.Children {
		var ok = true
		switch {
		case c.Is(NSRSM, "max"):
			p.Max, ok = pagingNumber(c.Text())
		case c.Is(NSRSM, "index"):
			p.Index, ok = pagingNumber(c.Text())
		case c.Is(NSRSM, "after"):
			p.After = c.Text()
		case c.Is(NSRSM, "before"):
			p.Before, p.Backwards = c.Text(), true
		}
		if !ok {
			return Paging{}, Refuse("bad-request", "<"+c.Name().Local+"/> is no number of items")
		}
	}
	if p.Index >= 0 && (p.After != "" || p.Backwards) {
		return Paging{}, Refuse("bad-request", "a page is named by its index or by an item, not by both")
	}
	return p, nil
}

// pagingNumber reads a number of 31 bits, written with digits alone.
func pagingNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// A Page says which part of a result set an answer has (XEP-0059 §2.2).
type Page struct {
	First, Last string // items; "" where the page is empty
	Index       int    // of First in the whole; -1 where that is not known
	Count       int    // of the whole; -1 where that is not known
}

// Payload returns the <set/> element.
func (p Page) Payload() Payload {
	var b Builder
	b.Open(NSRSM, "set")
	if p.First != "" {
		index := ""
		if p.Index >= 0 {
			index = strconv.Itoa(p.Index)
		}
		b.Leaf("", "first", p.First, "index", index).Leaf("", "last", p.Last)
	}
	if p.Count >= 0 {
		b.Leaf("", "count", strconv.Itoa(p.Count))
	}
	return b.Payload()
}

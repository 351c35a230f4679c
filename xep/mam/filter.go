package mam

import (
	"math"
	"slices"
	"strings"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// nsMAM is the namespace of archives (XEP-0313), also of their forms.
const nsMAM = "urn:xmpp:mam:2"

// Limits of a query.
const (
	maxIDs     = 250  // messages that one query may ask for one by one
	maxQueryID = 1023 // bytes: it comes back with every message
	maxFields  = 32   // of the form
)

// A filter says which messages of an archive a query selects (XEP-0313 §4.1).
type filter struct {
	with       xmpp.JID
	start, end storage.ID // 0, and the greatest, where the query does not say
	afterID    string
	beforeID   string
	ids        []string
	text       string
	room       xmpp.JID // whose archive it is, where that is a room's
	real       bool     // the asker may know real addresses there
}

// byPeer reports whether what it selects is looked up in exchanged.
func (f filter) byPeer() bool {
	return !f.with.IsZero() && f.text == "" && len(f.ids) == 0 && f.room.IsZero()
}

// byWords reports whether what it selects is looked up in the index of words.
func (f filter) byWords() bool {
	return f.text != "" || !f.room.IsZero() && !f.with.IsZero() && f.with != f.room
}

// parseFilter reads the form of a query. What is wrong with it is bad-request, and a field
// that nobody knows is feature-not-implemented (XEP-0313 §4.1.5).
func parseFilter(query xmpp.Element) (filter, error) {
	f := filter{end: math.MaxInt64}
	form, ok := xmpp.ParseForm(query.Child(xmpp.NSForm, "x"))
	switch {
	case !ok:
		return f, nil
	case form.Type != "submit":
		return f, wrong("a form of type submit is expected")
	case form.Value("FORM_TYPE") != nsMAM:
		return f, wrong("the FORM_TYPE is " + nsMAM)
	case len(form.Fields) > maxFields:
		return f, wrong("too many fields")
	}
	given := map[string]bool{}
	for _, fd := range form.Fields {
		if given[fd.Var] {
			return f, wrong("a field is given twice")
		}
		given[fd.Var] = true
		if err := f.set(fd); err != nil {
			return f, err
		}
	}
	return f, nil
}

func wrong(text string) error { return xmpp.Refuse("bad-request", text) }

// set takes one field of the form.
func (f *filter) set(fd xmpp.Field) (err error) {
	if fd.Var == "ids" {
		return f.setIDs(fd.Values)
	}
	if len(fd.Values) > 1 {
		return wrong("a field that has one value has more")
	}
	v := ""
	if len(fd.Values) == 1 {
		v = fd.Values[0]
	}
	switch fd.Var {
	case "FORM_TYPE":
	case "with":
		if v != "" {
			f.with, err = xmpp.ParseJID(v)
		}
	case "start":
		f.start, err = timeOf(v, f.start, 0)
	case "end":
		f.end, err = timeOf(v, f.end, shown-1)
	case "before-id":
		f.beforeID = v
	case "after-id":
		f.afterID = v
	case "include-groupchat": // an account has none, and a room nothing else
		if !slices.Contains([]string{"", "0", "1", "true", "false"}, v) {
			return wrong("include-groupchat is neither true nor false")
		}
	case fieldText:
		f.text = strings.TrimSpace(v)
		return checkText(v)
	default:
		return xmpp.Refuse("feature-not-implemented", "a field is not known")
	}
	if err != nil {
		return wrong("the value of " + fd.Var + " is not valid")
	}
	return nil
}

func (f *filter) setIDs(values []string) error {
	for _, v := range values {
		if v != "" && !slices.Contains(f.ids, v) {
			f.ids = append(f.ids, v)
		}
	}
	if len(f.ids) > maxIDs {
		return xmpp.Refuse("policy-violation", "too many ids")
	}
	return nil
}

// shown is how exactly times are told, in microseconds: what is shown as the time of a
// message selects the message.
const shown = 1000

// timeOf reads a time (XEP-0082 §3.2) as the id of that moment, further by more where it
// is not told more exactly than times are shown.
func timeOf(v string, otherwise, more storage.ID) (storage.ID, error) {
	if v == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return 0, err
	}
	id := max(0, storage.IDAt(t))
	if id%shown == 0 {
		id += more
	}
	return id, nil
}

// source finds what the filter selects in an archive. An id that the archive does not have
// is item-not-found (XEP-0313 §4.1.3).
func (f *feature) source(tx *storage.Tx, owner int64, w filter) (source, error) {
	s := stretch{span: span{owner: owner, lo: w.start, hi: w.end}, resource: anyResource}
	after, err := f.named(tx, owner, w.afterID)
	if err != nil {
		return nil, err
	}
	before, err := f.named(tx, owner, w.beforeID)
	if err != nil {
		return nil, err
	}
	if after != 0 {
		s.lo = max(s.lo, after+1)
	}
	if before != 0 {
		s.hi = min(s.hi, before-1)
	}
	switch {
	case w.with.IsZero():
	case !w.room.IsZero():
		err = s.spoken(w)
	default:
		err = s.exchangedWith(tx, w.with)
	}
	switch {
	case err != nil:
		return nil, err
	case len(w.ids) > 0:
		return f.selected(tx, s, w.ids)
	case w.byWords():
		return searched(s, w.text), nil
	}
	return s, nil
}

// exchangedWith narrows a stretch of an account's archive to what was exchanged with an
// address.
func (s *stretch) exchangedWith(tx *storage.Tx, with xmpp.JID) (err error) {
	if s.peer, err = peerOf(tx, with.Bare().String()); err != nil {
		return err
	}
	if s.peer == 0 {
		s.hi = s.lo - 1 // nothing was
	}
	if with.Resource() != "" {
		s.resource = resourceHash(with)
		s.only = func(r entry) bool { return r.between(with) }
	}
	return nil
}

// named returns the id of a message of an archive by its name on the wire; 0 for no name.
func (f *feature) named(tx *storage.Tx, owner int64, name string) (storage.ID, error) {
	if name == "" {
		return 0, nil
	}
	id, ok := f.store.FromOpaque(name)
	if ok {
		var err error
		if ok, err = has(tx, owner, id); err != nil {
			return 0, err
		}
	}
	if !ok {
		return 0, xmpp.Refuse("item-not-found", "")
	}
	return id, nil
}

// selected reads the messages with these names, as far as the rest of the filter selects
// them too.
func (f *feature) selected(tx *storage.Tx, s stretch, names []string) (source, error) {
	var list selection
	for _, name := range names {
		id, ok := f.store.FromOpaque(name)
		if !ok {
			return nil, xmpp.Refuse("item-not-found", "")
		}
		r, there, err := byID(tx, s.owner, id)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, xmpp.Refuse("item-not-found", "")
		}
		if id >= s.lo && id <= s.hi && (s.peer == 0 || r.peer == s.peer) && (s.resource == anyResource || r.resource == s.resource) &&
			(s.only == nil || s.only(r.entry)) {
			list = append(list, r.entry)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return int(a.id - b.id) })
	return list, nil
}

package mam

import (
	"errors"
	"slices"

	"parley/storage"
	"parley/xmpp"
)

// What one answer has at most.
const (
	// DefaultPage is how many messages a page has where neither the client nor the
	// configuration says.
	DefaultPage = 50
	// MaxPage is how many a page may have (archive.max_page).
	MaxPage = 250
	// maxPageBytes is how large the messages of a page may be together, the first aside: a
	// page has to fit into the queue of the session that asked.
	maxPageBytes = 1 << 20
	// maxCount is how many messages are looked at to count a result that is not counted in
	// advance (XEP-0059 §2.7): those of one resource, and those with certain words.
	maxCount = 10_000
)

// unknown stands for a count that would cost too much.
const unknown = -1

// errEnough ends the reading of rows.
var errEnough = errors.New("mam: enough")

func untilEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// A source is the set of messages that a query selects, in the order of the archive.
type source interface {
	// ends returns the ids between which all of it is, both included.
	ends() (lo, hi storage.ID)
	// rows calls each for up to n messages between two ids, the oldest or the newest first,
	// until it says that it has enough.
	rows(tx *storage.Tx, lo, hi storage.ID, back bool, n int, each func(entry) (more bool)) error
	// count returns how many there are between two ids, or unknown.
	count(tx *storage.Tx, lo, hi storage.ID) (int, error)
	// at returns the message with that many before it; there is false behind the last.
	at(tx *storage.Tx, index int) (id storage.ID, there bool, err error)
}

// A wish is the page that a query wants.
type wish struct {
	paging        xmpp.Paging
	max           int
	after, before storage.ID // 0: none
}

// A leaf is a page of an archive.
type leaf struct {
	rows         []entry // in the order of the archive
	complete     bool    // nothing of the result follows, in the direction of paging
	unstable     bool    // not all of the archive was looked at
	index, count int     // or unknown
}

// turn reads a page (XEP-0059 §2, XEP-0313 §4.3).
func turn(tx *storage.Tx, src source, w wish) (p leaf, err error) {
	lo, hi := src.ends()
	if p.count, err = src.count(tx, lo, hi); err != nil {
		return p, err
	}
	p.index = w.paging.Index
	from, to, none, err := w.between(tx, src)
	if err != nil {
		return p, err
	}
	if none || from > to {
		p.complete = w.max > 0 || p.count == 0
		return p, nil
	}
	if err = p.read(tx, src, from, to, w); err != nil || len(p.rows) == 0 {
		return p, err
	}
	switch {
	case p.index >= 0:
	case !w.paging.Backwards && w.after == 0: // the first page
		p.index = 0
	case w.paging.Backwards && w.before == 0 && p.count != unknown: // the last
		p.index = p.count - len(p.rows)
	default:
		p.index, err = src.count(tx, lo, p.rows[0].id-1)
	}
	return p, err
}

// between returns the ids that the page is between; none says that it is behind the last.
func (w wish) between(tx *storage.Tx, src source) (from, to storage.ID, none bool, err error) {
	from, to = src.ends()
	if w.after != 0 {
		from = max(from, w.after+1)
	}
	if w.before != 0 {
		to = min(to, w.before-1)
	}
	if w.paging.Index >= 0 && w.max > 0 {
		at, there, err := src.at(tx, w.paging.Index)
		return max(from, at), to, !there, err
	}
	return from, to, false, nil
}

// read reads the rows, and one more to know whether there are more.
func (p *leaf) read(tx *storage.Tx, src source, from, to storage.ID, w wish) error {
	bytes, more := 0, false
	err := src.rows(tx, from, to, w.paging.Backwards, w.max+1, func(r entry) bool {
		bytes += len(r.stanza)
		if len(p.rows) == w.max || len(p.rows) > 0 && bytes > maxPageBytes {
			more = true
			return false
		}
		p.rows = append(p.rows, r)
		return true
	})
	p.complete = !more
	if w.paging.Backwards {
		slices.Reverse(p.rows)
	}
	return err
}

// A stretch is the source of a span: everything, or what was exchanged with a bare JID,
// or with one resource of it; of a room's archive, what was said under one nick (peer), or by
// one address (resource).
type stretch struct {
	span
	resource int64            // its hash, or anyResource
	only     func(entry) bool // of the rows found by that; nil: all
}

func (s stretch) ends() (lo, hi storage.ID) { return s.lo, s.hi }

func (s stretch) of(lo, hi storage.ID) span {
	c := s.span
	c.lo, c.hi = max(lo, s.lo), min(hi, s.hi)
	return c
}

func (s stretch) rows(tx *storage.Tx, lo, hi storage.ID, back bool, n int, each func(entry) bool) error {
	read := func(lo, hi storage.ID, n int, each func(entry) bool) error {
		return rows(tx, s.of(lo, hi), s.resource, back, n, each)
	}
	if s.only == nil {
		return read(lo, hi, n, each)
	}
	return sifted(lo, hi, back, n, read, s.only, each)
}

// count subtracts: every row says how many there have been before it, and only the oldest
// ones ever go (XEP-0313 §3.2).
func (s stretch) count(tx *storage.Tx, lo, hi storage.ID) (int, error) {
	part := s.of(lo, hi)
	if part.empty() {
		return 0, nil
	}
	if s.resource != anyResource {
		n := 0
		all, err := eachOfResource(tx, part, s.resource, maxCount, func(storage.ID) { n++ })
		if !all {
			n = unknown
		}
		return n, err
	}
	begin, found, err := first(tx, part)
	if err != nil || !found {
		return 0, err
	}
	end, err := totalUpTo(tx, part, part.hi)
	return int(end - begin.total + 1), err
}

func (s stretch) at(tx *storage.Tx, index int) (id storage.ID, there bool, err error) {
	if s.resource != anyResource {
		n := 0
		all, err := eachOfResource(tx, s.span, s.resource, maxCount, func(i storage.ID) {
			if n == index {
				id, there = i, true
			}
			n++
		})
		if err == nil && !there && !all {
			err = errIndex()
		}
		return id, there, err
	}
	begin, found, err := first(tx, s.span)
	if err != nil || !found {
		return 0, false, err
	}
	return s.search(tx, begin, begin.total+int64(index))
}

// search finds the first row up to which there have been that many, by halving the time
// between the ends: some fifty looks at one row each, however long the archive is.
func (s stretch) search(tx *storage.Tx, begin edge, total int64) (id storage.ID, there bool, err error) {
	end, found, err := last(tx, s.span)
	if err != nil || !found || end.total < total {
		return 0, false, err
	}
	lo, hi := begin.id, end.id
	for lo < hi {
		mid := lo + (hi-lo)/2
		n, err := totalUpTo(tx, s.span, mid)
		if err != nil {
			return 0, false, err
		}
		if n >= total {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, true, nil
}

// errIndex refuses a page by an index that would have to be counted up to (XEP-0059 §2.6).
func errIndex() error {
	return xmpp.Refuse("feature-not-implemented", "pages of so many results have no index; page by id")
}

// between reports whether a message was exchanged with that full JID. The rows know a hash
// of the resource only.
func (r entry) between(with xmpp.JID) bool {
	st, err := xmpp.ParseStanzaBytes(r.stanza)
	if err != nil {
		return false
	}
	return r.flags&incoming != 0 && st.From == with || r.flags&outgoing != 0 && st.To == with
}

// sifted reads the rows for which ok says so, up to n, going on where some had to be left
// out.
func sifted(lo, hi storage.ID, back bool, n int, read func(lo, hi storage.ID, n int, each func(entry) bool) error, ok, each func(entry) bool) error {
	for {
		looked, done, want := 0, false, n
		err := read(lo, hi, want, func(r entry) bool {
			if looked++; back {
				hi = r.id - 1
			} else {
				lo = r.id + 1
			}
			if ok(r) {
				n--
				done = !each(r)
			}
			return !done
		})
		if err != nil || done || n == 0 || looked < want {
			return err
		}
	}
}

// A selection is the source of messages that were asked for one by one (XEP-0313 §4.1.3),
// in the order of the archive.
type selection []entry

func (s selection) ends() (lo, hi storage.ID) {
	if len(s) == 0 {
		return 1, 0
	}
	return s[0].id, s[len(s)-1].id
}

func (s selection) rows(_ *storage.Tx, lo, hi storage.ID, back bool, n int, each func(entry) bool) error {
	part := s.part(lo, hi)
	for i := range part[:min(n, len(part))] {
		if back {
			i = len(part) - 1 - i
		}
		if !each(part[i]) {
			return nil
		}
	}
	return nil
}

func (s selection) part(lo, hi storage.ID) selection {
	from, _ := slices.BinarySearchFunc(s, lo, func(r entry, id storage.ID) int { return int(r.id - id) })
	to, _ := slices.BinarySearchFunc(s, hi+1, func(r entry, id storage.ID) int { return int(r.id - id) })
	return s[from:max(from, to)]
}

func (s selection) count(_ *storage.Tx, lo, hi storage.ID) (int, error) {
	return len(s.part(lo, hi)), nil
}

func (s selection) at(_ *storage.Tx, index int) (storage.ID, bool, error) {
	if index >= len(s) {
		return 0, false, nil
	}
	return s[index].id, true, nil
}

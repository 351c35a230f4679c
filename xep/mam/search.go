package mam

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"parley/storage"
	"parley/xmpp"
)

// nsFullText is the namespace of the field for words to search for (XEP-0431 §3.1).
const (
	nsFullText = "urn:xmpp:fulltext:0"
	fieldText  = "{" + nsFullText + "}fulltext"
)

// Limits of what is searched.
const (
	maxText   = 16 << 10 // bytes of one message that are in the index
	maxWords  = 32       // that one search may have
	maxSearch = 1023     // bytes of these
)

// indexable returns what the index is to know of a stanza: the hash of its name, and the
// text of its bodies; nothing for one that cannot be read.
func indexable(stanza []byte) (name, text string) {
	st, err := xmpp.ParseStanzaBytes(stanza)
	if err != nil {
		return "", ""
	}
	if st.ID != "" {
		name = nameHash(st.From, st.ID)
	}
	var b strings.Builder
	for e := range st.Children {
		switch {
		case encrypted(e), e.Name().Space == nsEncryption: // its body only says that it cannot be read
			return name, ""
		case e.Is("", "body"):
			b.WriteString(e.Text())
			b.WriteByte('\n')
		}
	}
	return name, shortened(b.String(), maxText)
}

func shortened(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return strings.TrimRight(s, "\n")
}

// nameHash stands in the index for the sender of a message and the id it gave it.
func nameHash(from xmpp.JID, id string) string {
	h := fnv.New64a()
	h.Write([]byte(from.Bare().String()))
	h.Write([]byte{0})
	h.Write([]byte(id))
	return "h" + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, h.Sum64()))
}

// ownersOf is the first column of the index.
func ownersOf(one, two int64) string {
	var list []string
	for _, owner := range []int64{one, two} {
		if owner != 0 {
			list = append(list, ownerWord(owner))
		}
	}
	return strings.Join(list, " ")
}

// ownerWord is the word for an account, or for a room: it has no minus, at which words end.
func ownerWord(owner int64) string {
	if owner < 0 {
		return "r" + strconv.FormatUint(-uint64(owner), 10)
	}
	return "o" + strconv.FormatInt(owner, 10)
}

// matchName is the expression of the index for the messages of an owner with that name.
func matchName(owner int64, name string) string {
	return `owners : "` + ownerWord(owner) + `" AND name : "` + name + `"`
}

// matchText is the expression for the messages of an owner that have all words of a text,
// in any order. What stands together without a space, as a-b does, is looked for as it
// stands. Whatever somebody types is put in quotes, so nothing in it means anything else;
// it is "" where there is nothing to look for.
func matchText(owner int64, text string) string {
	var b strings.Builder
	words := strings.Fields(text)
	for _, word := range words {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
			b.WriteString(` AND text : "` + strings.ReplaceAll(word, `"`, `""`) + `"`)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return `owners : "` + ownerWord(owner) + `"` + b.String()
}

// checkText refuses what is too much to search for.
func checkText(text string) error {
	if len(text) > maxSearch || len(strings.Fields(text)) > maxWords {
		return wrong("too many words")
	}
	return nil
}

// A search is the source of the messages of a stretch that have certain words.
type search struct {
	stretch
	match string
}

func searched(s stretch, text string) source {
	match := matchText(s.owner, text)
	switch {
	case match == "" && text != "": // nothing but signs: no message has it
		return selection(nil)
	case s.isSpoken() && text == "":
		match = s.matchSpeaker()
	case s.isSpoken():
		match = s.matchSpeaker() + " AND " + match
	}
	return search{s, match}
}

func (s search) rows(tx *storage.Tx, lo, hi storage.ID, back bool, n int, each func(entry) bool) error {
	read := func(lo, hi storage.ID, n int, each func(entry) bool) error {
		part := s.stretch
		part.span = s.of(lo, hi)
		return hits(tx, part, s.match, back, n, each)
	}
	if s.only == nil {
		return read(lo, hi, n, each)
	}
	return sifted(lo, hi, back, n, read, s.only, each)
}

// count looks at each of up to maxCount messages.
func (s search) count(tx *storage.Tx, lo, hi storage.ID) (n int, err error) {
	part := s.stretch
	switch part.span = s.of(lo, hi); {
	case part.empty():
		return 0, nil
	case s.isSpoken() && s.only != nil:
		return unknown, nil
	}
	if n, err = countHits(tx, part, s.match, maxCount+1); n > maxCount {
		n = unknown
	}
	return n, err
}

func (s search) at(tx *storage.Tx, index int) (id storage.ID, there bool, err error) {
	if index >= maxCount || s.isSpoken() && s.only != nil {
		return 0, false, errIndex()
	}
	return hitAt(tx, s.stretch, s.match, index)
}

// find returns the newest message of a conversation before an id that from has sent under
// that name; st is nil where there is none.
func find(tx *storage.Tx, in part, from xmpp.JID, name string, before storage.ID) (e entry, st *xmpp.Stanza, err error) {
	if name == "" || in.peer == 0 {
		return e, nil, nil
	}
	if err := exchangeAll(tx, in.owner); err != nil {
		return e, nil, err
	}
	err = candidates(tx, in.owner, in.peer, nameHash(from, name), before, func(c entry) bool {
		got, err := xmpp.ParseStanzaBytes(c.stanza)
		if err == nil && got.ID == name && got.From.Bare() == from.Bare() {
			e, st = c, got
		}
		return st == nil
	})
	return e, st, err
}

// indexNow is how many messages a search puts into the index before it begins, and
// indexBatch how many in one piece of the writer's work.
const (
	indexNow   = 5000
	indexBatch = 200
)

// indexOwner puts what is missing of an archive into the index; all is false where that is more
// than a search waits for.
func (f *feature) indexOwner(ctx context.Context, owner int64, write writing) (all bool, err error) {
	for left := indexNow; left > 0; left -= indexBatch {
		upto, newest := storage.ID(0), storage.ID(0)
		err := f.store.Read(ctx, func(tx *storage.Tx) (err error) {
			if upto, err = indexedUpTo(tx, owner); err != nil {
				return err
			}
			ends, err := endsOf(tx, owner)
			newest = ends[1]
			return err
		})
		if err != nil || newest <= upto {
			return true, err
		}
		err = write(func(tx *storage.Tx) error {
			_, err := indexSome(tx, owner, indexBatch)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

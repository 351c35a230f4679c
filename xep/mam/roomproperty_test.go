package mam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// A line is what the model knows of a message.
type line struct {
	id     storage.ID
	nick   string
	who    xmpp.JID
	text   bool
	buried bool
}

// TestRoomsAgainstModel has people talk in rooms and beside them, and compares every page, in
// both directions, with lists.
func TestRoomsAgainstModel(t *testing.T) {
	s := playRooms(t, mam.Limits{})
	nicks := []string{"Romeo", "nurse", "", "\U0001f339"}
	people := []xmpp.JID{romeo, desk, nurse, {}}
	next := int64(0)
	rapid.Check(t, func(r *rapid.T) {
		next -= 2
		talk := [2][]line{}
		room := [2]xmpp.JID{verona, xmpp.MustJID("mantua@conference.example.com")}
		err := s.Store.Write(t.Context(), func(tx *storage.Tx) error {
			k := keeper{t, tx}
			talk = [2][]line{}
			for i := range rapid.IntRange(0, 30).Draw(r, "messages") {
				switch to := rapid.IntRange(0, 4).Draw(r, "to"); to {
				case 4: // of the account whose number is the room's without its sign
					k.said(-next, juliet, tx.NextID(), romeo, incoming|content, "account", "<body>odd1</body>")
				case 3:
					if list := talk[i%2]; len(list) > 0 {
						l := &list[rapid.IntRange(0, len(list)-1).Draw(r, "which")]
						l.buried = true
						stone := spoken(0, room[i%2], l.nick, l.who, fmt.Sprint(int64(l.id)), "<retracted/>").Stanza
						if err := s.keeper.Replace(tx, next-int64(i%2), l.id, stone); err != nil {
							return err
						}
					}
				default:
					l := line{nick: rapid.SampledFrom(nicks).Draw(r, "nick"), who: rapid.SampledFrom(people).Draw(r, "who"), text: to != 2}
					inside := "<reactions/>"
					if l.text {
						inside = "<body>odd1</body>"
					}
					id, err := s.keeper.Add(tx, spoken(next-int64(i%2), room[i%2], l.nick, l.who, "", inside))
					if err != nil {
						return err
					}
					l.id = id
					talk[i%2] = append(talk[i%2], l)
				}
			}
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
		which := rapid.IntRange(0, 1).Draw(r, "room")
		all, archive := talk[which], next-int64(which)
		var fields []string
		ok := func(line) bool { return true }
		switch rapid.IntRange(0, 4).Draw(r, "with") {
		case 0:
			nick := rapid.SampledFrom(append(nicks, "nobody")).Draw(r, "whom")
			with := room[which].String()
			if nick != "" {
				with += "/" + nick
				ok = func(l line) bool { return l.nick == nick }
			}
			fields = append(fields, "with="+with)
		case 1:
			who := rapid.SampledFrom([]xmpp.JID{romeo.Bare(), romeo, desk, nurse, juliet}).Draw(r, "whom")
			ok = func(l line) bool { return l.who == who || who.IsBare() && l.who.Bare() == who }
			fields = append(fields, "with="+who.String())
		}
		if rapid.Bool().Draw(r, "words") {
			with := ok
			ok = func(l line) bool { return with(l) && l.text && !l.buried }
			fields = append(fields, words+"odd1")
		}
		var want []storage.ID
		for _, l := range all {
			if ok(l) {
				want = append(want, l.id)
			}
		}
		q := wants(t, archive, room[which], form("", fields...))
		q.Real = true
		s.walks(r, q, fields, want)
		s.remembers(r, archive, all)
	})
}

// walks turns all pages of what is selected, and compares.
func (s *rooms) walks(r *rapid.T, q mam.Question, fields []string, want []storage.ID) {
	page := rapid.IntRange(1, 6).Draw(r, "page")
	back := rapid.Bool().Draw(r, "back")
	set := fmt.Sprintf("<max>%d</max>", page)
	if back {
		set += "<before/>"
	}
	ask := func(set string) mam.Question {
		a := wants(s.t, q.Archive, q.Room, form(rsm(set), fields...))
		a.Real = q.Real
		return a
	}
	var got []storage.ID
	for steps := 0; ; steps++ {
		results, fin, err := s.answers(ask(set), s.juliet)
		if err != nil {
			r.Fatalf("%v %s: %v", fields, set, err)
		}
		var list []storage.ID
		for _, st := range results {
			id, ok := s.Store.FromOpaque(st.Child("urn:xmpp:mam:2", "result").Attr("id"))
			if !ok {
				r.Fatalf("%s", st)
			}
			list = append(list, id)
		}
		if got = append(got, list...); back {
			got = append(list, got[:len(got)-len(list)]...)
		}
		if fin.count != "" && fin.count != fmt.Sprint(len(want)) {
			r.Fatalf("%v: %s are counted instead of %d", fields, fin.count, len(want))
		}
		if fin.index != "" && len(list) > 0 && fin.index != fmt.Sprint(slices.Index(want, list[0])) {
			r.Fatalf("%v: the index is %s", fields, fin.index)
		}
		if fin.complete || steps > len(want) {
			break
		}
		if len(list) != page {
			r.Fatalf("%v: %d instead of %d, and more to come", fields, len(list), page)
		}
		if set = fmt.Sprintf("<max>%d</max><after>%s</after>", page, fin.last); back {
			set = fmt.Sprintf("<max>%d</max><before>%s</before>", page, fin.first)
		}
	}
	if !slices.Equal(got, want) {
		r.Fatalf("%s: %v instead of %v", strings.Join(fields, " "), got, want)
	}
}

// remembers compares the history, and what is to be read.
func (s *rooms) remembers(r *rapid.T, archive int64, all []line) {
	texts := slices.DeleteFunc(slices.Clone(all), func(l line) bool { return !l.text || l.buried })
	n := rapid.IntRange(0, 10).Draw(r, "history")
	after := storage.ID(0)
	if len(all) > 0 {
		after = rapid.SampledFrom(all).Draw(r, "behind").id
	}
	s.reads(func(tx *storage.Tx) error {
		list, err := s.keeper.Last(tx, archive, n, time.Time{})
		if err != nil {
			return err
		}
		for i, l := range texts[max(0, len(texts)-n):] {
			if i >= len(list) || list[i].ID != l.id {
				r.Fatalf("the history: %v", list)
			}
		}
		if len(list) != min(n, len(texts)) {
			r.Fatalf("the history has %d instead of %d", len(list), min(n, len(texts)))
		}
		unread, err := s.keeper.Unread(tx, archive, after, 5)
		behind := slices.DeleteFunc(slices.Clone(texts), func(l line) bool { return l.id <= after })
		if unread != min(5, len(behind)) {
			r.Fatalf("%d are to be read instead of %d", unread, len(behind))
		}
		return err
	})
}

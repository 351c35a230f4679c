package mam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestPagesAgainstModel walks through archives of random messages with random filters and
// pages, and compares with a list.
func TestPagesAgainstModel(t *testing.T) {
	s := play(t, mam.Archive{})
	people := []xmpp.JID{romeo, desk, nurse, xmpp.MustJID("romeo@example.net"), xmpp.MustJID("example.org")}
	owner := int64(1000)
	rapid.Check(t, func(r *rapid.T) {
		owner++
		type message struct {
			id    storage.ID
			peer  xmpp.JID
			lives bool
		}
		var all []message
		n := rapid.IntRange(0, 25).Draw(r, "messages")
		begin := rapid.IntRange(0, n).Draw(r, "deleted")
		err := s.Store.Write(t.Context(), func(tx *storage.Tx) error {
			k := keeper{t, tx}
			all = all[:0]
			for i := range n {
				id := at(int(owner)*100+i) + storage.ID(owner)
				m := message{id, people[i*7%11%len(people)], i >= begin}
				flags := incoming | i*5%3/2*hidden
				k.said(owner, juliet, id, m.peer, flags, fmt.Sprint(i), "<body>odd"+fmt.Sprint(i%2)+"</body>")
				m.lives = m.lives && flags&hidden == 0
				all = append(all, m)
			}
			for i := range begin {
				k.exec(`delete from kept where owner = $1 and id = $2`, owner, all[i].id)
				k.exec(`delete from exchanged where owner = $1 and id = $2`, owner, all[i].id)
				k.exec(`delete from body where id = $1`, all[i].id)
			}
			k.exec(`insert into indexed (owner, upto) values (0, 0) on conflict (owner) do nothing`)
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
		var with xmpp.JID
		var fields []string
		if rapid.Bool().Draw(r, "with") {
			with = rapid.SampledFrom(append(people, xmpp.MustJID("nobody@example.net"))).Draw(r, "whom")
			fields = append(fields, "with="+with.String())
		}
		lo, hi := 0, n
		if n > 0 && rapid.Bool().Draw(r, "times") {
			lo = rapid.IntRange(0, n-1).Draw(r, "start")
			hi = rapid.IntRange(0, n-1).Draw(r, "end") + 1
			fields = append(fields, "start="+stampOf(all[lo].id), "end="+stampOf(all[hi-1].id))
		}
		var want []int
		for i := lo; i < hi; i++ {
			if m := all[i]; m.lives && (with.IsZero() || m.peer == with || with.IsBare() && m.peer.Bare() == with) {
				want = append(want, i)
			}
		}
		page := rapid.IntRange(1, 6).Draw(r, "page")
		back := rapid.Bool().Draw(r, "back")
		q := mam.NewReader(s.Router.Features(), s.Store, owner)
		var got []int
		set := fmt.Sprintf("<max>%d</max>", page)
		if back {
			set += "<before/>"
		}
		for steps := 0; ; steps++ {
			p, err := q.Page(form(rsm(set), fields...))
			if err != nil {
				r.Fatalf("%s: %v", set, err)
			}
			if p.Count != len(want) {
				r.Fatalf("%d are counted instead of %d", p.Count, len(want))
			}
			var list []int
			for _, id := range p.IDs {
				list = append(list, slices.IndexFunc(all, func(m message) bool { return m.id == id }))
			}
			if back {
				got = append(list, got...)
			} else {
				got = append(got, list...)
			}
			if len(list) > 0 && p.Index != slices.Index(want, list[0]) {
				r.Fatalf("%v: the index is %d", list, p.Index)
			}
			if p.Complete || steps > n {
				break
			}
			if len(list) != page {
				r.Fatalf("%d instead of %d, and more to come", len(list), page)
			}
			if set = fmt.Sprintf("<max>%d</max><after>%s</after>", page, s.Store.Opaque(p.IDs[len(p.IDs)-1])); back {
				set = fmt.Sprintf("<max>%d</max><before>%s</before>", page, s.Store.Opaque(p.IDs[0]))
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("%v: %v instead of %v", fields, got, want)
		}
		at := rapid.IntRange(0, n+2).Draw(r, "index")
		p, err := q.Page(form(rsm(fmt.Sprintf("<max>%d</max><index>%d</index>", page, at)), fields...))
		if err != nil {
			r.Fatal(err)
		}
		part := want[min(at, len(want)):min(at+page, len(want))]
		if len(p.IDs) != len(part) || len(part) > 0 && (p.IDs[0] != all[part[0]].id || p.Index != at) {
			r.Fatalf("from %d: %v instead of %v", at, p, part)
		}
	})
}

// FuzzQuery: whatever stands in a query is an answer or an error of the client's.
func FuzzQuery(f *testing.F) {
	f.Add(form(rsm("<max>1</max>"), "with=a@b.c", "start=2010-06-07T00:00:00Z", "ids=a b"))
	f.Add(fmt.Sprintf(prefs, " default='roster'", "<always><jid>a@b</jid></always>"))
	f.Fuzz(func(t *testing.T, in string) {
		st, err := xmpp.ParseStanza(`<iq type='set' id='1'>` + in + `</iq>`)
		if err != nil {
			return
		}
		for _, err := range []error{mam.ParseFilter(st.Payload()), mam.ParsePrefs(st.Payload())} {
			if _, ok := err.(*xmpp.Error); err != nil && !ok {
				t.Errorf("%s: %v", in, err)
			}
		}
	})
}

// FuzzWords: whatever is searched for is an expression that the engine understands.
func FuzzWords(f *testing.F) {
	for _, s := range []string{`a "b" c*`, `NEAR(a b, 2) OR NOT ^x`, `{owners}: o1`, "\u0301 \u00df", `a-b`, `""`} {
		f.Add(s)
	}
	scene := play(f, mam.Archive{})
	f.Fuzz(func(t *testing.T, text string) {
		match := mam.MatchText(xmpp.Clean(text))
		if match == "" || strings.ContainsRune(match, 0) {
			return
		}
		err := scene.Store.Read(t.Context(), func(tx *storage.Tx) error {
			_, err := tx.One(`select count(*) from words where words match $1`, []any{match}, new(int))
			return err
		})
		if err != nil {
			t.Errorf("%q: %v", match, err)
		}
	})
}

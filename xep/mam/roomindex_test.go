package mam_test

import (
	"fmt"
	"testing"

	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestRoomIndex: pages by index of what one has said, as far as that is counted.
func TestRoomIndex(t *testing.T) {
	s, _ := nine(t)
	page := func(index int, fields ...string) (string, tail, error) {
		q := wants(t, veronas, verona, form(rsm(fmt.Sprintf("<max>2</max><index>%d</index>", index)), fields...))
		q.Real = true
		results, fin, err := s.answers(q, s.juliet)
		return names(results), fin, err
	}
	for _, c := range []struct {
		index  int
		fields string
		want   string
	}{
		{1, "with=verona@conference.example.com/romeo", "3 6"}, {4, "with=verona@conference.example.com/romeo", ""},
		{1, "with=romeo@example.net", "3 4"}, {5, "with=romeo@example.net", "9"}, {7, "with=verona@conference.example.com", "8 9"},
		{3, words + "odd1", "7 9"},
	} {
		got, fin, err := page(c.index, c.fields)
		if err != nil || got != c.want || got != "" && fin.index != fmt.Sprint(c.index) {
			t.Errorf("%s from %d: %q, %+v, %v", c.fields, c.index, got, fin, err)
		}
	}
	for _, fields := range [][]string{{"with=romeo@example.net/desk"}, {words + "odd0", "with=romeo@example.net/desk"}} {
		_, _, err := page(0, fields...)
		if e, ok := err.(*xmpp.Error); !ok || e.Condition != "feature-not-implemented" {
			t.Errorf("%s by index: %v", fields, err)
		}
	}
	var list []mam.Entry
	for range 10_001 {
		list = append(list, spoken(veronas, verona, "chatter", nurse, "much", "<body>x</body>"))
	}
	indexed := func(ids []storage.ID) {
		t.Helper()
		routertest.Eventually(t, "all is in the index", func() bool {
			return count(t, s.Store, `select upto >= $1 from indexed where owner = 0`, ids[len(ids)-1]) == 1
		})
	}
	indexed(s.add(list[:10_000]...))
	const with = "with=verona@conference.example.com/chatter"
	if got, fin, err := page(9_999, with); err != nil || got != "much" || fin.count != "10000" {
		t.Errorf("%q, %+v, %v", got, fin, err)
	}
	indexed(s.add(list[10_000]))
	q := wants(t, veronas, verona, form(rsm("<max>2</max><before/>"), with))
	if results, fin, err := s.answers(q, s.juliet); err != nil || len(results) != 2 || fin.count != "" || fin.complete {
		t.Errorf("%v, %+v, %v", results, fin, err)
	}
	if _, _, err := page(10_000, with); err == nil {
		t.Error("it has been counted up to there")
	}
}

package mam_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

var verona = xmpp.MustJID("verona@conference.example.com")

const veronas = int64(-1) // the number of its archive

// rooms is a house that keeps archives of rooms.
type rooms struct {
	*scene
	keeper *mam.Keeper
}

func playRooms(t testing.TB, lim mam.Limits) *rooms {
	t.Helper()
	k := mam.NewKeeper(func() mam.Limits { return lim })
	f := mam.Feature(k)
	s := &scene{House: routertest.NewWith(t, routertest.Config{Features: []router.Feature{f}}), t: t}
	s.juliet = s.Connected("juliet@example.com/balcony")
	s.owner, _, _ = s.Dir.Lookup(t.Context(), xmpp.MustJID("juliet@example.com"))
	return &rooms{s, k}
}

// spoken is what somebody has said in a room.
func spoken(archive int64, room xmpp.JID, nick string, who xmpp.JID, id, inside string) mam.Entry {
	from := room
	if nick != "" {
		from, _ = xmpp.ParseJID(room.String() + "/" + nick)
	}
	x := ""
	if !who.IsZero() {
		x = fmt.Sprintf(`<x xmlns='http://jabber.org/protocol/muc#user'><item jid='%s'/></x>`, who)
	}
	return mam.Entry{Archive: archive, From: from, Who: who, Text: strings.Contains(inside, "<body>"),
		Stanza: fmt.Appendf(nil, `<message xmlns='jabber:client' from='%s' id='%s' type='groupchat'>%s%s</message>`, from, id, inside, x)}
}

// add adds one after the other, in one transaction.
func (s *rooms) add(list ...mam.Entry) (ids []storage.ID) {
	s.t.Helper()
	err := s.Store.Write(s.t.Context(), func(tx *storage.Tx) error {
		ids = ids[:0]
		for _, e := range list {
			id, err := s.keeper.Add(tx, e)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// wants is a question of juliet's.
func wants(t testing.TB, archive int64, room xmpp.JID, query string) mam.Question {
	t.Helper()
	st, err := xmpp.ParseStanza(fmt.Sprintf(`<iq type='set' id='1' from='%s' to='%s'>%s</iq>`, juliet, room, query))
	if err != nil {
		t.Fatal(err)
	}
	return mam.Question{Archive: archive, Room: room, Stanza: st}
}

// answers has the keeper answer a question, and returns what the asker was sent.
func (s *rooms) answers(q mam.Question, asker *routertest.Actor) (results []*xmpp.Stanza, fin tail, err error) {
	s.t.Helper()
	var rd router.Round
	p, err := s.keeper.Query(s.t.Context(), &rd, q)
	rd.Flush()
	if err != nil {
		return nil, fin, err
	}
	for st := asker.Hears(); st != nil; st = asker.Hears() {
		results = append(results, st)
	}
	return results, finOf(s.t, xmpp.NewStanza(xmpp.IQ, p)), nil
}

// nine is a room in which nine things were said, 1 to 9.
func nine(t testing.TB) (s *rooms, ids []storage.ID) {
	s = playRooms(t, mam.Limits{})
	who := map[string]xmpp.JID{"romeo": romeo, "nurse": xmpp.MustJID("nurse@example.com/phone"), "desk": desk}
	var list []mam.Entry
	for i, nick := range strings.Fields("romeo nurse romeo desk nurse romeo nurse desk romeo") {
		list = append(list, spoken(veronas, verona, nick, who[nick], fmt.Sprint(i+1), fmt.Sprintf("<body>word%d odd%d</body>", i+1, (i+1)%2)))
	}
	ids = s.add(list...)
	s.add(spoken(veronas-1, xmpp.MustJID("mantua@conference.example.com"), "romeo", romeo, "other", "<body>odd1</body>"))
	fills(t, s.Store, func(k keeper) { // an account with the same number, but for the sign
		k.said(1, juliet, at(1), romeo, incoming|content, "account", "<body>odd1</body>")
	})
	return s, ids
}

// TestRoomFilters: the filters of XEP-0313 §4.1 in the archive of a room.
func TestRoomFilters(t *testing.T) {
	s, ids := nine(t)
	name := func(n int) string { return s.keeper.Opaque(ids[n-1]) }
	for _, c := range []struct{ fields, want, count string }{
		{"", "1 2 3 4 5 6 7 8 9", "9"},
		{"with=verona@conference.example.com", "1 2 3 4 5 6 7 8 9", "9"},
		{"with=verona@conference.example.com/romeo", "1 3 6 9", "4"},
		{"with=verona@conference.example.com/desk", "4 8", "2"},
		{"with=verona@conference.example.com/nobody", "", "0"},
		{"with=romeo@example.net", "1 3 4 6 8 9", "6"},
		{"with=romeo@example.net/desk", "4 8", ""},
		{"with=nurse@example.com", "2 5 7", "3"},
		{"with=stranger@example.com", "", "0"},
		{"with=mantua@conference.example.com/romeo", "", ""},
		{"after-id=" + name(3), "4 5 6 7 8 9", "6"},
		{"before-id=" + name(3), "1 2", "2"},
		{"after-id=" + name(3) + "|with=verona@conference.example.com/romeo", "6 9", "2"},
		{"ids=" + name(7) + " " + name(2), "2 7", "2"},
		{"ids=" + name(7) + " " + name(4) + "|with=verona@conference.example.com/nurse", "7", "1"},
		{"ids=" + name(7) + " " + name(4) + "|with=romeo@example.net/desk", "4", "1"},
		{"start=" + stampOf(ids[0]) + "|end=" + stampOf(ids[8]), "1 2 3 4 5 6 7 8 9", "9"},
		{"start=9999-12-31T23:59:59Z", "", "0"},
		{words + "odd1", "1 3 5 7 9", "5"},
		{words + "odd1|with=verona@conference.example.com/nurse", "5 7", "2"},
		{words + "odd0|with=romeo@example.net", "4 6 8", "3"},
		{words + "odd0|with=romeo@example.net/desk", "4 8", ""},
		{"include-groupchat=true", "1 2 3 4 5 6 7 8 9", "9"},
	} {
		var fields []string
		if c.fields != "" {
			fields = strings.Split(c.fields, "|")
		}
		list := strings.Fields(c.want)
		for set, want := range map[string]string{
			"":                                     c.want,
			rsm("<max>1</max><before/>"):           strings.Join(list[max(0, len(list)-1):], " "),
			rsm("<max>2</max>"):                    strings.Join(list[:min(2, len(list))], " "),
			rsm("<max>100</max>") + "<flip-page/>": c.want,
		} {
			q := wants(t, veronas, verona, form(set, fields...))
			q.Real = true
			results, fin, err := s.answers(q, s.juliet)
			if err != nil {
				t.Errorf("%s %s: %v", c.fields, set, err)
				continue
			}
			if got := names(results); strings.Contains(set, "flip") {
				if want = reversed(want); got != want {
					t.Errorf("%s, flipped: %q", c.fields, got)
				}
			} else if got != want || fin.count != c.count || fin.complete != (len(strings.Fields(want)) == len(list)) {
				t.Errorf("%s %s: %q, %+v", c.fields, set, got, fin)
			}
		}
	}
}

func reversed(s string) string {
	list := strings.Fields(s)
	for i := range len(list) / 2 {
		list[i], list[len(list)-1-i] = list[len(list)-1-i], list[i]
	}
	return strings.Join(list, " ")
}

// TestRoomRefusals: what a query of a room's archive may not ask.
func TestRoomRefusals(t *testing.T) {
	s, ids := nine(t)
	other := s.add(spoken(veronas-1, xmpp.MustJID("mantua@conference.example.com"), "romeo", romeo, "o", "<body>o</body>"))[0]
	for query, condition := range map[string]string{
		form("", "with=romeo@example.net"):                                            "forbidden",
		form("", "with=romeo@example.net/desk"):                                       "forbidden",
		form("", "with=stranger@example.net"):                                         "forbidden",
		form("", "with=conference.example.com"):                                       "forbidden",
		form("", "with=mantua@conference.example.com/r"):                              "forbidden",
		form("", words+"odd1", "with=romeo@example.net"):                              "forbidden",
		form("", "ids="+s.keeper.Opaque(other)):                                       "item-not-found",
		form("", "after-id="+s.keeper.Opaque(other)):                                  "item-not-found",
		form("", "ids="+s.keeper.Opaque(ids[0])+" x"):                                 "item-not-found",
		form(rsm("<before>" + s.keeper.Opaque(other) + "</before>")):                  "item-not-found",
		form(rsm("<max>x</max>")):                                                     "bad-request",
		form("", "colour=red"):                                                        "feature-not-implemented",
		"<query xmlns='urn:xmpp:mam:2' node='n'/>":                                    "feature-not-implemented",
		"<query xmlns='urn:xmpp:mam:2' queryid='" + strings.Repeat("x", 1024) + "'/>": "bad-request",
	} {
		_, _, err := s.answers(wants(t, veronas, verona, query), s.juliet)
		if e, ok := err.(*xmpp.Error); !ok || e.Condition != condition {
			t.Errorf("%s: %v instead of %s", query, err, condition)
		}
		if st := s.juliet.Hears(); st != nil {
			t.Errorf("%s: %s", query, st)
		}
	}
}

// TestRoomResult: what is delivered, which is kept nowhere, and that the view is heeded.
func TestRoomResult(t *testing.T) {
	s, ids := nine(t)
	q := wants(t, veronas, verona, form(rsm("<max>1</max>")))
	x := regexp.MustCompile(`<x .*</x>`)
	q.View = func(stanza []byte) []byte { return x.ReplaceAll(stanza, nil) }
	results, _, err := s.answers(q, s.juliet)
	if err != nil || len(results) != 1 {
		t.Fatal(results, err)
	}
	pattern := fmt.Sprintf(`<message from='%s' to='%s'><result xmlns='urn:xmpp:mam:2' queryid='f' id='%s'><forwarded xmlns='urn:xmpp:forward:0'>`+
		`<delay xmlns='urn:xmpp:delay' stamp='%s'/><message xmlns='jabber:client' from='%s/romeo' id='1' type='groupchat'><body>word1 odd1</body></message></forwarded></result></message>`,
		verona, juliet, s.keeper.Opaque(ids[0]), stampOf(ids[0]), verona)
	if diff := routertest.Match(pattern, results[0]); diff != "" {
		t.Error(diff)
	}
	if n := count(t, s.Store, `select count(*) from kept where owner = $1 and id > $2`, s.owner, at(1)); n != 0 {
		t.Errorf("the asker's own archive has %d rows", n)
	}
	far := s.Service("example.org")
	q = wants(t, veronas, verona, form(rsm("<max>2</max>")))
	q.Stanza = q.Stanza.Readdressed(verona, xmpp.MustJID("paris@example.org/palace"))
	results, _, err = s.answers(q, far)
	if err != nil || names(results) != "1 2" {
		t.Fatal(results, err)
	}
	for _, st := range results {
		if !st.Has("urn:xmpp:hints", "no-store") || st.To != q.Stanza.From || st.From != verona ||
			!bytes.Contains(st.Body(), []byte("jid='")) {
			t.Errorf("%s", st)
		}
	}
}

// TestRoomFormAndMetadata: XEP-0313 §4.1.5 and §5.
func TestRoomFormAndMetadata(t *testing.T) {
	s, ids := nine(t)
	fields, ok := xmpp.ParseForm(xmpp.NewStanza(xmpp.IQ, s.keeper.Form()).Payload().Child(xmpp.NSForm, "x"))
	if !ok || len(fields.Fields) != 8 {
		t.Errorf("%v", fields)
	}
	for _, f := range fields.Fields {
		if f.Var == "include-groupchat" {
			t.Error("a room has nothing but groupchat")
		}
	}
	for archive, want := range map[int64]string{
		veronas: fmt.Sprintf(`<iq><metadata xmlns='urn:xmpp:mam:2'><start id='%s' timestamp='%s'/><end id='%s' timestamp='%s'/></metadata></iq>`,
			s.keeper.Opaque(ids[0]), stampOf(ids[0]), s.keeper.Opaque(ids[8]), stampOf(ids[8])),
		-77: `<iq><metadata xmlns='urn:xmpp:mam:2'/></iq>`,
	} {
		p, err := s.keeper.Metadata(t.Context(), archive)
		if err != nil {
			t.Fatal(err)
		}
		if diff := routertest.Match(want, xmpp.NewStanza(xmpp.IQ, p)); diff != "" {
			t.Error(diff)
		}
	}
}

// reads runs fn in a transaction that reads.
func (s *rooms) reads(fn func(*storage.Tx) error) {
	s.t.Helper()
	if err := s.Store.Read(s.t.Context(), fn); err != nil {
		s.t.Error(err)
	}
}

func heardOf(list []mam.Kept) string {
	var ids []string
	for _, m := range list {
		st, err := xmpp.ParseStanzaBytes(m.Stanza)
		if err != nil {
			return err.Error()
		}
		ids = append(ids, st.ID)
	}
	return strings.Join(ids, " ")
}

// TestRoomHistory: the newest that are something to read, and how many there are behind an id.
func TestRoomHistory(t *testing.T) {
	s, ids := nine(t)
	more := s.add(spoken(veronas, verona, "romeo", romeo, "heart", "<reactions/>"), spoken(veronas, verona, "romeo", romeo, "10", "<body>x</body>"))
	s.reads(func(tx *storage.Tx) error {
		for _, c := range []struct {
			n     int
			since time.Time
			want  string
		}{
			{20, time.Time{}, "1 2 3 4 5 6 7 8 9 10"}, {3, time.Time{}, "8 9 10"}, {0, time.Time{}, ""},
			{20, ids[7].Time(), "8 9 10"}, {2, ids[7].Time(), "9 10"}, {20, time.Now().Add(time.Hour), ""},
			{20, time.Unix(-1e9, 0), "1 2 3 4 5 6 7 8 9 10"},
		} {
			list, err := s.keeper.Last(tx, veronas, c.n, c.since)
			if got := heardOf(list); err != nil || got != c.want {
				t.Errorf("%d since %v: %q, %v", c.n, c.since, got, err)
			}
		}
		for _, c := range []struct {
			after storage.ID
			most  int
			want  int
		}{{0, 100, 10}, {0, 4, 4}, {ids[8], 100, 1}, {more[0], 100, 1}, {more[1], 100, 0}} {
			if n, err := s.keeper.Unread(tx, veronas, c.after, c.most); n != c.want || err != nil {
				t.Errorf("%d behind %d, %v", n, c.after, err)
			}
		}
		if list, err := s.keeper.Last(tx, -77, 10, time.Time{}); len(list) > 0 || err != nil {
			t.Errorf("a room without an archive: %v, %v", list, err)
		}
		return nil
	})
}

// TestRoomTombstone: what was said is gone from the archive, from what is found by words, from
// the history and from what is to be read; the place is not.
func TestRoomTombstone(t *testing.T) {
	s, ids := nine(t)
	ask := func(fields ...string) string {
		results, _, err := s.answers(wants(t, veronas, verona, form("", fields...)), s.juliet)
		if err != nil {
			t.Error(err)
		}
		return names(results)
	}
	if got := ask(words + "word3"); got != "3" {
		t.Fatalf("%q", got)
	}
	stone := fmt.Appendf(nil, `<message xmlns='jabber:client' from='%s/romeo' id='stone' type='groupchat'><retracted xmlns='urn:xmpp:message-retract:1'/></message>`, verona)
	bury := func(archive int64, id storage.ID) {
		err := s.Store.Write(t.Context(), func(tx *storage.Tx) error { return s.keeper.Replace(tx, archive, id, stone) })
		if err != nil {
			t.Error(err)
		}
	}
	bury(veronas-1, ids[0]) // not there
	bury(veronas, ids[8]+1000)
	bury(veronas, ids[2])
	bury(veronas, ids[2]) // once more is no other thing
	if got := ask(words + "word3"); got != "" {
		t.Errorf("%q is found", got)
	}
	if got := ask(); got != "1 2 stone 4 5 6 7 8 9" {
		t.Errorf("%q", got)
	}
	if got := ask("with=verona@conference.example.com/romeo"); got != "1 stone 6 9" {
		t.Errorf("%q", got)
	}
	s.reads(func(tx *storage.Tx) error {
		list, err := s.keeper.Last(tx, veronas, 20, time.Time{})
		if got := heardOf(list); got != "1 2 4 5 6 7 8 9" {
			t.Errorf("%q, %v", got, err)
		}
		for i, want := range []bool{false, false, true, false} {
			m, found, err := s.keeper.Find(tx, veronas, s.keeper.Opaque(ids[i]))
			if !found || err != nil || m.ID != ids[i] || m.Tombstone != want {
				t.Errorf("%d: %v, %v, %v", i, m, found, err)
			}
		}
		for _, name := range []string{"", "x", s.keeper.Opaque(ids[8] + 1000), s.keeper.Opaque(at(1))} {
			if m, found, err := s.keeper.Find(tx, veronas, name); found || err != nil {
				t.Errorf("%q: %v, %v", name, m, err)
			}
		}
		n, err := s.keeper.Unread(tx, veronas, 0, 100)
		if n != 8 {
			t.Errorf("%d to read, %v", n, err)
		}
		return err
	})
}

package mam_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestRoomsUnread: what is unread of a room is exact, also behind retention, tombstones and
// another beginning of the membership, and where the count before is remembered.
func TestRoomsUnread(t *testing.T) {
	lim := mam.Limits{}
	s := playRooms(t, mam.Limits{Archive: func(host string) mam.Archive {
		if lim.Archive == nil || host != "conference.example.com" {
			return mam.Archive{}
		}
		return lim.Archive(host)
	}})
	var since storage.ID
	s.keeper.Follow(func(_ *storage.Tx, bare xmpp.JID) ([]mam.Membership, error) {
		if bare != juliet.Bare() {
			return nil, nil
		}
		return []mam.Membership{{Room: verona, Archive: veronas, Since: since}, {Room: xmpp.MustJID("mantua@conference.example.com"), Archive: veronas - 1}}, nil
	})
	unread := func(want int) {
		t.Helper()
		for range 2 { // counted, and remembered
			s.juliet.Sends("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1' messages='false'/></iq>")
			e := s.juliet.Hears().Child("urn:xmpp:inbox:1", "entry")
			if e.Attr("jid") != verona.String() || e.Attr("unread") != fmt.Sprint(want) {
				t.Errorf("%s has %s unread, instead of %d", e.Attr("jid"), e.Attr("unread"), want)
			}
			if fin := s.juliet.Hears(); !strings.Contains(fin.String(), "total='1'") { // nothing was said in the other
				t.Errorf("%s", fin)
			}
			s.Settle()
		}
	}
	write := func(fn func(*storage.Tx) error) {
		t.Helper()
		if err := s.Store.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	remembered := func(want int) {
		t.Helper()
		if got := count(t, s.Store, `select count(*) from seen where peer < 0 and unread > 200`); got != want {
			t.Errorf("%d counts are remembered, instead of %d", got, want)
		}
	}
	var list []mam.Entry
	for i := range 500 {
		list = append(list, spoken(veronas, verona, "romeo", romeo, fmt.Sprint(i), "<body>hello</body>"))
	}
	ids := s.add(list...)
	s.add(spoken(veronas, verona, "romeo", romeo, "state", "<subject>nothing to read</subject>"))
	unread(500)
	remembered(1)
	write(func(tx *storage.Tx) error { return s.keeper.Replace(tx, veronas, ids[450], []byte("<message/>")) })
	remembered(0)
	unread(499)
	lim.Archive = func(string) mam.Archive { return mam.Archive{Messages: 401} } // with the subject
	s.Router.Tidy(t.Context())
	unread(399)
	write(func(tx *storage.Tx) error { since = tx.NextID(); return nil }) // it has become a member again
	unread(0)
	lim.Archive = nil
	ids = s.add(list[:300]...)
	unread(300)
	remembered(1)
	seen := func(id storage.ID) {
		t.Helper()
		write(func(tx *storage.Tx) error { return s.keeper.Seen(tx, s.owner, veronas, id) })
	}
	seen(ids[199])
	unread(100)
	seen(ids[150]) // it only moves on
	unread(100)
	s.add(list[:250]...)
	unread(350)
	remembered(1)
	write(func(tx *storage.Tx) error { return s.keeper.Remove(tx, veronas-1) })
	remembered(1)
	write(func(tx *storage.Tx) error { return s.keeper.Remove(tx, veronas) })
	if got := count(t, s.Store, `select count(*) from seen where peer < 0`); got != 0 {
		t.Errorf("%d marks are left of a room that is no more", got)
	}
}

package mam_test

import (
	"fmt"
	"testing"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// BenchmarkInboxOfRooms asks for the inbox of somebody who is a member of 200 rooms, in each of
// which 1,000 messages are unread: counted once, and remembered.
func BenchmarkInboxOfRooms(b *testing.B) {
	s := playRooms(b, mam.Limits{})
	var list []mam.Membership
	err := s.Store.Write(b.Context(), func(tx *storage.Tx) error {
		list = list[:0]
		for n := range int64(200) {
			m := mam.Membership{Room: xmpp.MustJID(fmt.Sprintf("room%d@conference.example.com", n)), Archive: -1 - n}
			list = append(list, m)
			for i := range 1000 {
				if _, err := s.keeper.Add(tx, spoken(m.Archive, m.Room, "romeo", romeo, fmt.Sprint(i), "<body>hello everybody</body>")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	s.keeper.Follow(func(*storage.Tx, xmpp.JID) ([]mam.Membership, error) { return list, nil })
	ask := func() {
		s.juliet.Says("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
		for st := s.juliet.Hears(); ; st = s.juliet.Hears() {
			if st.Kind == xmpp.IQ {
				return
			}
		}
	}
	ask()
	s.Settle()
	for b.Loop() {
		ask()
	}
}

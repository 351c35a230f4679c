package mam_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"parley/router"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// BenchmarkRoomAdd measures what a message costs in the archives of a hundred rooms, so many
// in a transaction and by fifty people in each room; beside it what the same rows of an account
// cost, whose conversations follow (BenchmarkExchange).
func BenchmarkRoomAdd(b *testing.B) {
	text := "<body>" + string(bytes.Repeat([]byte("some words "), 12)) + "</body>"
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("room/batch=%d", batch), func(b *testing.B) {
			store, keeper := lone(b)
			entries := make([]mam.Entry, 5000)
			for i := range entries {
				nick := fmt.Sprintf("occupant%d", i%50)
				who, _ := xmpp.ParseJID(fmt.Sprintf("%s@example.net/phone", nick))
				entries[i] = spoken(-1-int64(i%100), verona, nick, who, fmt.Sprint(i), text)
			}
			add := func(tx *storage.Tx) error {
				for range batch {
					if _, err := keeper.Add(tx, entries[rand.IntN(len(entries))]); err != nil {
						return err
					}
				}
				return nil
			}
			measureWrites(b, store, batch, add)
		})
		b.Run(fmt.Sprintf("account/batch=%d", batch), func(b *testing.B) {
			store, _ := lone(b)
			stanza := spoken(0, verona, "occupant", romeo, "1", text).Stanza
			add := func(tx *storage.Tx) error {
				for range batch {
					if err := mam.WriteOne(tx, 1000+rand.Int64N(100), 1+rand.Int64N(50), stanza); err != nil {
						return err
					}
				}
				return nil
			}
			measureWrites(b, store, batch, add)
		})
	}
}

// lone is a store as a server has it: those of other tests do everything twice.
func lone(b *testing.B) (*storage.Store, *mam.Keeper) {
	k := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	f := mam.Feature(k)
	quiet := slog.New(slog.DiscardHandler)
	s, err := storage.Open(b.Context(), storage.Config{Dir: b.TempDir(), Log: quiet}, f.Schema)
	if err != nil {
		b.Fatal(err)
	}
	router.New(router.Config{Store: s, Features: []router.Feature{f}, Log: quiet})
	f.Stop() // what follows behind is measured by itself
	b.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return s, k
}

// measureWrites is a benchmark of transactions that have so many messages, in a store that has
// 100,000 already.
func measureWrites(b *testing.B, s *storage.Store, batch int, add func(*storage.Tx) error) {
	write := func() {
		if err := s.Write(b.Context(), add); err != nil {
			b.Fatal(err)
		}
	}
	fills(b, s, func(k keeper) {
		for n := 0; n < 100_000; n += batch {
			if err := add(k.tx); err != nil {
				b.Fatal(err)
			}
		}
	})
	n, before := 0, cpu()
	for b.Loop() {
		write()
		n += batch
	}
	b.ReportMetric((cpu()-before)/float64(n), "cpu-us/message")
}

// indexAll waits until everything up to an id is in the index of words.
func indexAll(b *testing.B, s *storage.Store, upto storage.ID) {
	for count(b, s, `select coalesce(max(upto), 0) from indexed where owner = 0`) < int(upto) {
		err := s.Write(b.Context(), func(tx *storage.Tx) error { return mam.IndexNext(tx, 10_000) })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoomPage measures what a query of a room with a million messages costs, results
// delivered to an asker of this house, and what joining does.
func BenchmarkRoomPage(b *testing.B) {
	s := playRooms(b, mam.Limits{})
	text := "<body>" + string(bytes.Repeat([]byte("some words "), 10)) + "</body>"
	id := func(n int) storage.ID { return at(n) }
	fills(b, s.Store, func(k keeper) {
		for i := range 1_000_000 {
			nick := fmt.Sprintf("occupant%d", i%1000)
			e := mam.Entry{Archive: veronas, From: xmpp.MustJID(verona.String() + "/" + nick), Who: xmpp.MustJID(nick + "@example.net"), Text: true,
				Stanza: fmt.Appendf(nil, `<message xmlns='jabber:client' from='%s/%s' id='%d' type='groupchat'>%s<x xmlns='http://jabber.org/protocol/muc#user'><item jid='%s@example.net/phone'/></x></message>`, verona, nick, i, text, nick)}
			if err := mam.AddAt(s.keeper, k.tx, id(i+1), e); err != nil {
				b.Fatal(err)
			}
		}
	})
	before := cpu()
	indexAll(b, s.Store, id(1_000_000))
	b.Logf("%.1f us of CPU a message in the index of words", (cpu()-before)/1e6)
	random := func() int { return 1 + rand.IntN(999_000) }
	x := []byte("<x xmlns='http://jabber.org/protocol/muc#user'>")
	cut := func(stanza []byte) []byte {
		before, after, _ := bytes.Cut(stanza, x)
		_, after, _ = bytes.Cut(after, []byte("</x>"))
		return append(before[:len(before):len(before)], after...)
	}
	for _, c := range []struct {
		name  string
		query func() string
		view  func([]byte) []byte
	}{
		{"last/50", func() string { return form(rsm("<max>50</max><before/>")) }, nil},
		{"last/50/view", func() string { return form(rsm("<max>50</max><before/>")) }, cut},
		{"anywhere/50", func() string { return form(rsm("<max>50</max><after>" + s.keeper.Opaque(id(random())) + "</after>")) }, nil},
		{"nick/50", func() string {
			return form(rsm("<max>50</max><before/>"), fmt.Sprintf("with=%s/occupant%d", verona, rand.IntN(1000)))
		}, nil},
		{"who/50", func() string {
			return form(rsm("<max>50</max><before/>"), fmt.Sprintf("with=occupant%d@example.net", rand.IntN(1000)))
		}, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			got := 0
			s.juliet.Peer().Session.Tap(func(st *xmpp.Stanza) { got++; st.Append(nil) })
			ask := func() {
				q := wants(b, veronas, verona, c.query())
				q.Real, q.View = true, c.view
				var rd router.Round
				if _, err := s.keeper.Query(b.Context(), &rd, q); err != nil {
					b.Fatal(err)
				}
				rd.Flush()
			}
			if ask(); got != 50 {
				b.Fatalf("%d results", got)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for b.Loop() {
				ask()
			}
			b.ReportMetric((cpu()-before)/float64(b.N), "cpu-us/op")
		})
	}
	b.Run("history/20", func(b *testing.B) {
		before := cpu()
		for b.Loop() {
			s.reads(func(tx *storage.Tx) error {
				list, err := s.keeper.Last(tx, veronas, 20, id(1).Time())
				if len(list) != 20 {
					b.Fatal(len(list))
				}
				return err
			})
		}
		b.ReportMetric((cpu()-before)/float64(b.N), "cpu-us/op")
	})
}

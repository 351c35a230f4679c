package mam_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"parley/router"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// million fills an archive with a million messages exchanged with a thousand people.
func million(b *testing.B) *scene {
	s := play(b, mam.Archive{})
	fills(b, s.Store, func(k keeper) {
		k.exec(`with recursive i (i) as (select 1 union all select i + 1 from i where i < 1000)
			insert into peer (id, jid) select i, 'contact' || i || '@example.net' from i`)
		k.exec(`with recursive i (i) as (select 1 union all select i + 1 from i where i < 1000000)
			insert into body (id, one, two, stanza) select $1 + i * 1000000, $2, 0,
				'<message xmlns=''jabber:client'' to=''juliet@example.com'' from=''contact' || (i % 1000 + 1) || '@example.net/phone'' id=''' || hex(randomblob(8)) ||
				''' type=''chat''><body>' || substr(hex(randomblob(60)), 1, 120) || ' word' || (i % 10000) || '</body><request xmlns=''urn:xmpp:receipts''/><markable xmlns=''urn:xmpp:chat-markers:0''/></message>'
			from i`, base, s.owner)
		k.exec(`with recursive i (i) as (select 1 union all select i + 1 from i where i < 1000000)
			insert into kept (owner, id, peer, flags, resource, n) select $2, $1 + i * 1000000, i % 1000 + 1, 9, 1, i from i`, base, s.owner)
		k.exec(`insert into exchanged (owner, id, peer, flags, resource, m)
			select owner, id, peer, flags, resource, (n - 1 - (n - 1) % 1000) / 1000 + 1 from kept where owner = $1 order by peer, id`, s.owner)
		k.exec(`insert into seen (owner, peer, id, counted, unread) select $1, i, $2, $2, 0 from (
			with recursive i (i) as (select 1 union all select i + 1 from i where i < 1000) select i from i)`, s.owner, at(990_000))
		k.takes(s.owner, at(2_000_000))
		k.exec(`insert into indexed (owner, upto) values (0, $1)`, at(990_000)) // of the rest below
		k.exec(`update indexed set upto = $1 where owner = -9223372036854775808`, at(1_000_000))
	})
	return s
}

// cpu is the time that this process has used.
func cpu() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1000
}

// BenchmarkPage measures what a query costs the server, its XML included, in an archive of
// a million messages that was read before.
func BenchmarkPage(b *testing.B) {
	s := million(b)
	random := func() int { return 1 + rand.IntN(999_000) }
	for _, c := range []struct {
		name    string
		query   func() string
		results int
	}{
		{"last/50", func() string { return form(rsm("<max>50</max><before/>")) }, 50},
		{"last/250", func() string { return form(rsm("<max>250</max><before/>")) }, 250},
		{"recent/50", func() string {
			return form(rsm("<max>50</max><before>" + s.Store.Opaque(at(990_000+rand.IntN(9000))) + "</before>"))
		}, 50},
		{"recent/250", func() string {
			return form(rsm("<max>250</max><before>" + s.Store.Opaque(at(990_000+rand.IntN(9000))) + "</before>"))
		}, 250},
		{"anywhere/50", func() string { return form(rsm("<max>50</max><after>" + s.Store.Opaque(at(random())) + "</after>")) }, 50},
		{"index/50", func() string { return form(rsm(fmt.Sprintf("<max>50</max><index>%d</index>", random()))) }, 50},
		{"with/50", func() string {
			return form(rsm("<max>50</max><before/>"), fmt.Sprintf("with=contact%d@example.net", 1+rand.IntN(20)))
		}, 50},
		{"start/50", func() string { return form(rsm("<max>50</max>"), "start="+stampOf(at(990_000+rand.IntN(9000)))) }, 50},
		{"count", func() string { return form(rsm("<max>0</max>")) }, 0},
		{"search/50", func() string {
			return form(rsm("<max>50</max><before/>"), words+fmt.Sprintf("word%d", 9000+rand.IntN(1000)))
		}, 1},
		{"inbox/50", func() string { return "" }, 50},
	} {
		b.Run(c.name, func(b *testing.B) {
			got, buf := 0, []byte(nil)
			peer := s.juliet.Peer()
			peer.Session.Tap(func(st *xmpp.Stanza) {
				buf = st.Append(buf[:0])
				if st.Kind == xmpp.Message {
					got++
				}
			})
			ask := func() {
				in := `<iq type='set' id='1'>` + c.query() + `</iq>`
				if c.name == "inbox/50" {
					in = `<iq type='get' id='1'><inbox xmlns='urn:xmpp:inbox:1'>` + rsm("<max>50</max>") + `</inbox></iq>`
				}
				st, err := xmpp.ParseStanza(in)
				if err != nil {
					b.Fatal(err)
				}
				var rd router.Round
				if err := peer.Sender.Send(context.Background(), &rd, st); err != nil {
					b.Fatal(err)
				}
			}
			for range 20 {
				ask()
			}
			if got != 20*c.results {
				b.Fatalf("%d results: %s", got, buf)
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
}

// BenchmarkIndex measures what a message costs in the index.
func BenchmarkIndex(b *testing.B) {
	s := million(b)
	before := cpu()
	n := 0
	for b.Loop() {
		err := s.Store.Write(b.Context(), func(tx *storage.Tx) error { return mam.IndexSome(tx, 200) })
		if err != nil {
			b.Fatal(err)
		}
		n += 200
	}
	b.ReportMetric((cpu()-before)/float64(n), "cpu-us/message")
}

// BenchmarkExchange measures what a message costs in the table of conversations, behind
// others of so many accounts, each with one other.
func BenchmarkExchange(b *testing.B) {
	for _, pairs := range []int{50, 5000} {
		b.Run(fmt.Sprintf("pairs=%d", pairs), func(b *testing.B) {
			s := play(b, mam.Archive{})
			last := base
			write := func(messages int) { // the n-th pair is 2n and 2n+1
				fills(b, s.Store, func(k keeper) {
					k.exec(`with recursive i (i) as (select 1 union all select i + 1 from i where i < $3)
						insert into body (id, one, two, stanza) select $1 + i, 1000 + 2 * (i * 7919 % $2), 1001 + 2 * (i * 7919 % $2), zeroblob(340) from i`, last, pairs, messages)
					for _, who := range []string{"one", "two"} {
						k.exec(`insert into kept (owner, id, peer, flags, resource, n) select `+who+`, id, one + two - `+who+`, 9, 1, 0 from body where id > $1`, last)
					}
				})
				last += storage.ID(messages)
			}
			write(100_000)
			n := 0
			some := func() {
				err := s.Store.Write(b.Context(), func(tx *storage.Tx) error { _, err := mam.ExchangeSome(tx, 1000); return err })
				if err != nil {
					b.Fatal(err)
				}
				n += 1000
			}
			for n < 100_000 {
				some()
			}
			spent, began := 0.0, 0
			for b.Loop() {
				b.StopTimer()
				write(1000)
				b.StartTimer()
				before := cpu()
				some()
				spent += cpu() - before
				began++
			}
			b.ReportMetric(spent/float64(began)/1000, "cpu-us/message")
		})
	}
}

package mam_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// An item is a row of exchanged, or what should be one.
type item struct {
	peer  int64
	id    storage.ID
	flags int64
}

// exchangedOf reads what is in exchanged of an owner, and checks that m counts.
func exchangedOf(tx *storage.Tx, owner int64) (list []item, err error) {
	var peer, m int64
	err = tx.Each(`select peer, id, flags, m from exchanged where owner = $1 order by peer, id`, []any{owner}, func(r *storage.Row) error {
		if r.Int(0) == peer && r.Int(3) != m+1 {
			return fmt.Errorf("of %d, %d is the %d. behind the %d", peer, r.ID(1), r.Int(3), m)
		}
		peer, m = r.Int(0), r.Int(3)
		list = append(list, item{peer, r.ID(1), r.Int(2)})
		return nil
	})
	return list, err
}

// keptOf reads what should be there.
func keptOf(tx *storage.Tx, owner int64) (list []item, err error) {
	err = tx.Each(`select peer, id, flags from kept where owner = $1 and flags & 4 = 0 order by peer, id`, []any{owner}, func(r *storage.Row) error {
		list = append(list, item{r.Int(0), r.ID(1), r.Int(2)})
		return nil
	})
	return list, err
}

// behind checks that of each peer exchanged has all but some of the newest rows.
func behind(have, want []item) error {
	for _, it := range have {
		if !slices.Contains(want, it) {
			return fmt.Errorf("%v is not kept", it)
		}
	}
	last := map[int64]storage.ID{}
	for _, it := range have {
		last[it.peer] = it.id
	}
	for _, it := range want {
		if it.id <= last[it.peer] && !slices.Contains(have, it) {
			return fmt.Errorf("%v was passed over", it)
		}
	}
	return nil
}

// TestExchangedAgainstModel writes, deletes and retracts at random, puts pieces of it into
// exchanged in between, of all and of single owners, and compares with what is kept. What
// was put there ahead of the mark is what a crash leaves too.
func TestExchangedAgainstModel(t *testing.T) {
	s := play(t, mam.Archive{})
	owners, n := []int64{0, 0}, 0
	rapid.Check(t, func(r *rapid.T) {
		owners[0], owners[1] = owners[1]+1000, owners[1]+1001
		var ids []storage.ID
		do := func(fn func(tx *storage.Tx) error) {
			if err := s.Store.Write(t.Context(), fn); err != nil {
				r.Fatal(err)
			}
		}
		whole := func(complete bool) {
			do(func(tx *storage.Tx) error {
				for _, owner := range owners {
					want, err := keptOf(tx, owner)
					if err != nil {
						return err
					}
					have, err := exchangedOf(tx, owner)
					if err != nil {
						return err
					}
					if complete && !slices.Equal(have, want) {
						return fmt.Errorf("%v instead of %v", have, want)
					}
					if err := behind(have, want); err != nil {
						return fmt.Errorf("%w: %v, %v", err, have, want)
					}
				}
				return nil
			})
		}
		steps := map[string]func(*rapid.T){
			"write": func(r *rapid.T) {
				n++
				id := at(n)
				ids = append(ids, id)
				flags := [2]int64{rapid.SampledFrom([]int64{incoming, incoming | hidden, incoming | content}).Draw(r, "flags"), outgoing}
				peer := rapid.Int64Range(1, 3).Draw(r, "peer")
				both := rapid.Bool().Draw(r, "both")
				do(func(tx *storage.Tx) error {
					return mam.Write(tx, id, [2]int64{owners[0], owners[1]}, peer, flags, both)
				})
			},
			"delete": func(r *rapid.T) {
				if len(ids) > 0 {
					owner := rapid.SampledFrom(owners).Draw(r, "owner")
					id := rapid.SampledFrom([]storage.ID{ids[0], ids[len(ids)-1]}).Draw(r, "id")
					do(func(tx *storage.Tx) error { return mam.RemoveRow(tx, owner, id) })
				}
			},
			"bury": func(r *rapid.T) {
				if len(ids) > 0 {
					id := rapid.SampledFrom(ids).Draw(r, "id")
					do(func(tx *storage.Tx) error { return mam.Bury(tx, id) })
				}
			},
			"piece": func(r *rapid.T) {
				most := rapid.IntRange(1, 5).Draw(r, "most")
				do(func(tx *storage.Tx) error { _, err := mam.ExchangeSome(tx, most); return err })
			},
			"piece of one": func(r *rapid.T) {
				owner, most := rapid.SampledFrom(owners).Draw(r, "owner"), rapid.IntRange(1, 5).Draw(r, "most")
				do(func(tx *storage.Tx) error { _, err := mam.ExchangeOf(tx, owner, most); return err })
			},
			"": func(*rapid.T) { whole(false) },
		}
		r.Repeat(steps)
		for more := true; more; {
			do(func(tx *storage.Tx) (err error) { more, err = mam.ExchangeSome(tx, 3); return err })
		}
		whole(true)
	})
}

// TestExchangedFollows writes as clients do, with retractions, limits of archives and restarts
// in between: at any moment a query by peer gives what a query of everything has of that peer.
func TestExchangedFollows(t *testing.T) {
	dir := t.TempDir()
	archive := mam.Archive{}
	lim := &mam.Limits{Archive: func(string) mam.Archive { return archive }}
	const people = 4
	n := 0
	for run := range 4 {
		t.Run(fmt.Sprint("run ", run), func(t *testing.T) {
			h := routertest.NewWith(t, routertest.Config{
				Features: []router.Feature{mam.New(func() mam.Limits { return *lim })}, Storage: storage.Config{Dir: dir},
			})
			h.Exists(xmpp.MustJID("juliet@example.com")) // the same numbers each time
			s := &scene{House: h, t: t, juliet: h.Online("juliet@example.com/balcony")}
			var them []*routertest.Actor
			var said [people]string // the last that each has said
			for i := range people {
				them = append(them, h.Online(fmt.Sprintf("p%d@example.com/x", i)))
			}
			compare := func() {
				t.Helper()
				s.juliet.Forgets()
				all, _ := s.asks("set", form(rsm("<max>250</max>")))
				i := rand.IntN(people)
				results, answer := s.asks("set", form(rsm("<max>250</max>"), fmt.Sprintf("with=p%d@example.com", i)))
				var want []string
				for _, name := range strings.Fields(names(all)) {
					if strings.HasPrefix(name, fmt.Sprintf("p%d-", i)) {
						want = append(want, name)
					}
				}
				if fin := finOf(t, answer); names(results) != strings.Join(want, " ") || fin.count != fmt.Sprint(len(want)) {
					t.Fatalf("p%d: %q instead of %q, %+v", i, names(results), want, fin)
				}
			}
			compare() // what the last run has left
			for range 150 {
				i := rand.IntN(people)
				n++
				switch rand.IntN(10) {
				case 0:
					compare()
				case 1:
					them[i].Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='p%d-%d'><retract xmlns='urn:xmpp:message-retract:1' id='%s'/></message>", i, n, said[i]))
				case 2:
					archive.Messages = int64(20 + rand.IntN(100))
					h.Router.Tidy(t.Context())
				case 3:
					time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
				default:
					said[i] = fmt.Sprintf("p%d-%d", i, n)
					them[i].Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%s'><body>x</body></message>", said[i]))
				}
			}
			if run%2 == 0 { // else some are left to the next run
				routertest.Eventually(t, "all follow", func() bool {
					return count(t, h.Store, `select count(*) from exchanged`) == count(t, h.Store, `select count(*) from kept where flags & 4 = 0`)
				})
				if n := count(t, h.Store, `select count(*) from exchanged e join kept k on k.owner = e.owner and k.id = e.id
					where k.peer <> e.peer or k.flags <> e.flags or k.resource <> e.resource`); n > 0 {
					t.Errorf("%d rows are not as they are kept", n)
				}
			}
			compare()
		})
	}
}

// TestExchangedIsMadeOfWhatThereIs upgrades a database in which kept had the numbers.
func TestExchangedIsMadeOfWhatThereIs(t *testing.T) {
	cfg := storage.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	schema := mam.New(func() mam.Limits { return mam.Limits{} }).Schema
	open := func(steps int) *storage.Store {
		t.Helper()
		s, err := storage.Open(t.Context(), cfg, storage.Schema{Name: schema.Name, Steps: schema.Steps[:steps]})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	shut := func(s *storage.Store) {
		t.Helper()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	s := open(4)
	fills(t, s, func(k keeper) {
		for i := range int64(60) {
			flags := int64(incoming)
			if i%4 == 3 {
				flags |= hidden
			}
			k.exec(`insert into body (id, one, two, stanza) values ($1, $2, 0, 'x')`, i+1, i%2+1)
			k.exec(`insert into kept (owner, id, peer, flags, resource, n, m) values ($1, $2, $3, $4, $2, 0, $5)`, i%2+1, i+1, i%3+1, flags, 100+i/6)
		}
	})
	shut(s)
	s = open(len(schema.Steps))
	defer shut(s)
	var have, want []string
	err := s.Read(t.Context(), func(tx *storage.Tx) error {
		err := tx.Each(`select owner, peer, id, flags, resource, m from exchanged`, nil, func(r *storage.Row) error {
			have = append(have, fmt.Sprint(r.Int(0), r.Int(1), r.Int(2), r.Int(3), r.Int(4), r.Int(5)))
			return nil
		})
		for i := range int64(60) {
			if i%4 != 3 {
				want = append(want, fmt.Sprint(i%2+1, i%3+1, i+1, int64(incoming), i+1, 100+i/6))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	if got := count(t, s, `select upto from indexed where owner = -9223372036854775808`); got != 60 {
		t.Errorf("all is there up to %d", got)
	}
}

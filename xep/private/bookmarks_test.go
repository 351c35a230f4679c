package private_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/caps"
	"parley/xep/private"
	"parley/xep/pubsub"
	"parley/xmpp"
)

const (
	nsPubsub = "http://jabber.org/protocol/pubsub"
	native   = "urn:xmpp:bookmarks:1"
	list     = "storage:bookmarks"
)

func publishing(t testing.TB, dir string, accounts *routertest.Directory) *routertest.House {
	return routertest.NewWith(t, routertest.Config{
		Features: []router.Feature{private.New(), pubsub.Feature(pubsub.New(pubsub.Config{})), caps.New(time.Now)},
		Storage:  storage.Config{Dir: dir}, Dir: accounts,
	})
}

// interested has a client be told of bookmarks.
func interested(t testing.TB, h *routertest.House, full string) *routertest.Actor {
	t.Helper()
	a := h.Connected(full)
	a.Says(`<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:n' ver='1'/></presence>`)
	for st := a.Hears(); st != nil; st = a.Hears() {
		if st.Kind == xmpp.IQ && st.Type == "get" {
			a.Says(xmpp.Result(st, xmpp.Payload(`<query xmlns='`+xmpp.NSInfo+`'><identity category='client' type='pc'/>`+
				`<feature var='`+native+`+notify'/><feature var='`+list+`+notify'/></query>`)).String())
		}
	}
	return a
}

// rooms are what somebody sees: names by room. Names stand for all that both formats have.
type rooms map[string]string

func (r rooms) list() string {
	var b strings.Builder
	b.WriteString(`<storage xmlns='` + list + `'><url name='kept' url='https://example.com'/>`)
	for _, room := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&b, `<conference jid='%s' name='%s'/>`, room, r[room])
	}
	return b.String() + `</storage>`
}

// readList reads a list; it must have the link that every list here has.
func readList(t testing.TB, e xmpp.Element) rooms {
	t.Helper()
	r := rooms{}
	for c := range e.Children {
		if c.Is(list, "conference") {
			r[c.Attr("jid")] = c.Attr("name")
		}
	}
	if len(r) > 0 && e.Child(list, "url").Attr("name") != "kept" {
		t.Errorf("the link is gone: %s", e.Payload())
	}
	return r
}

func readItems(e xmpp.Element) rooms {
	r := rooms{}
	for c := range e.Children {
		if c.Name().Local == "item" {
			r[c.Attr("id")] = c.First().Attr("name")
		}
	}
	return r
}

// views asks for the bookmarks at all three places.
func views(t testing.TB, a *routertest.Actor) (items, listed, privately rooms) {
	t.Helper()
	ask := func(xml string) xmpp.Element {
		a.Forgets()
		a.Sends(xml)
		for st := a.Hears(); st != nil; st = a.Hears() {
			if st.Kind == xmpp.IQ {
				return st.Payload()
			}
		}
		t.Fatal("no answer")
		return xmpp.Element{}
	}
	at := func(node string) xmpp.Element {
		return ask(`<iq id='i' type='get'><pubsub xmlns='`+nsPubsub+`'><items node='`+node+`'/></pubsub></iq>`).Child(nsPubsub, "items")
	}
	items = readItems(at(native))
	listed = readList(t, at(list).Child(nsPubsub, "item").Child(list, "storage"))
	privately = readList(t, ask(get(`<storage xmlns='`+list+`'/>`)).Child(list, "storage"))
	return items, listed, privately
}

// A watcher knows what it was told alone.
type watcher struct {
	items, listed rooms
	mu            sync.Mutex
	repeats       int
}

func (w *watcher) hears(t testing.TB, st *xmpp.Stanza) {
	items := st.Child(nsPubsub+"#event", "event").Child(nsPubsub+"#event", "items")
	w.mu.Lock()
	defer w.mu.Unlock()
	switch items.Attr("node") {
	case native:
		for c := range items.Children {
			was, there := w.items[c.Attr("id")]
			if c.Name().Local == "retract" {
				if !there {
					w.repeats++
				}
				delete(w.items, c.Attr("id"))
				continue
			}
			if now := c.First().Attr("name"); there && was == now {
				w.repeats++
			} else {
				w.items[c.Attr("id")] = now
			}
		}
	case list:
		now := readList(t, items.First().First())
		if maps.Equal(now, w.listed) {
			w.repeats++
		}
		w.listed = now
	}
}

// change has a client change bookmarks at random, in one of the ways that there are. It knows what
// there is.
func change(r *rand.Rand, now rooms, n int) (xml string) {
	room := fmt.Sprintf("room%d@conference.example.com", r.IntN(6))
	_, there := now[room]
	if there && r.IntN(3) == 0 {
		delete(now, room)
	} else {
		now[room], there = "name"+strconv.Itoa(n), false
	}
	switch r.IntN(3) {
	case 0:
		return set(now.list())
	case 1:
		return `<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><publish node='` + list + `'><item id='current'>` + now.list() + `</item></publish></pubsub></iq>`
	}
	if there {
		return `<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><retract node='` + native + `' notify='true'><item id='` + room + `'/></retract></pubsub></iq>`
	}
	return `<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><publish node='` + native + `'><item id='` + room + `'><conference xmlns='` + native + `' name='` + now[room] + `'/></item></publish></pubsub></iq>`
}

// TestOneList has clients change bookmarks in all ways, over several lives of the house: all three
// places say the same after each, and somebody who is told of changes alone knows the same, and is
// told nothing that is no news.
func TestOneList(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	now := rooms{}
	w := &watcher{items: rooms{}, listed: rooms{}}
	for life := range 3 {
		t.Run(strconv.Itoa(life), func(t *testing.T) {
			h := publishing(t, dir, accounts)
			a := h.Connected("romeo@example.com/changes")
			if life == 0 {
				a.Does(set(now.list()))
			}
			watch := interested(t, h, "romeo@example.com/watches")
			for step := range 60 {
				a.Does(change(r, now, life*1000+step))
				for st := watch.Hears(); st != nil; st = watch.Hears() {
					w.hears(t, st)
				}
				items, listed, privately := views(t, a)
				for what, got := range map[string]rooms{"items": items, "list": listed, "private": privately, "told items": w.items, "told list": w.listed} {
					if !maps.Equal(got, now) {
						t.Fatalf("step %d: %s: %v instead of %v", step, what, got, now)
					}
				}
				if w.repeats > 0 {
					t.Fatalf("step %d: something was told twice", step)
				}
			}
		})
	}
}

// TestManyAtOnce is the same with all at once, who do not know of each other: in the end all places
// say the same, and so does what was told.
func TestManyAtOnce(t *testing.T) {
	h := publishing(t, t.TempDir(), &routertest.Directory{})
	first := h.Connected("romeo@example.com/first")
	first.Does(set(rooms{}.list()))
	watch := interested(t, h, "romeo@example.com/watches")
	w := &watcher{items: rooms{}, listed: rooms{}}
	watch.Peer().Session.Tap(func(st *xmpp.Stanza) { w.hears(t, st) })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all sync.WaitGroup
	for i := range 4 {
		p, err := h.Bind(xmpp.MustJID(fmt.Sprintf("romeo@example.com/c%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		p.Session.Tap(func(*xmpp.Stanza) {})
		all.Go(func() {
			defer p.Sender.Leave("")
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			mine := rooms{}
			for step := range 40 {
				st, err := xmpp.ParseStanza(change(r, mine, i*1000+step))
				var rd router.Round
				if err == nil {
					err = p.Sender.Send(context.Background(), &rd, st)
				}
				if err != nil {
					t.Error(err)
				}
				rd.Flush()
			}
		})
	}
	all.Wait()
	h.Settle()
	items, listed, privately := views(t, first)
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, got := range map[string]rooms{"list": listed, "private": privately, "told items": w.items, "told list": w.listed} {
		if !maps.Equal(got, items) {
			t.Errorf("%s: %v instead of %v", what, got, items)
		}
	}
}

// TestBookmarksFromBefore has a database from before there was conversion: who has bookmarks in
// private XML, or in a list at the node, finds them at all places, and none is lost.
func TestBookmarksFromBefore(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	old := private.New()
	old.Schema.Steps = old.Schema.Steps[:1]
	kept := rooms{"a@conference.example.com": "A", "b@conference.example.com": "B"}
	t.Run("before", func(t *testing.T) {
		h := routertest.NewWith(t, routertest.Config{
			Features: []router.Feature{{Name: "private", Schema: old.Schema}, pubsub.Feature(pubsub.New(pubsub.Config{}))},
			Storage:  storage.Config{Dir: dir}, Dir: accounts,
		})
		err := h.Store.Write(context.Background(), func(tx *storage.Tx) error {
			return tx.Exec(`insert into private_element (owner, space, local, xml) values ($1, $2, 'storage', $3)`,
				h.Dir.Add(xmpp.MustJID("romeo@example.com")), list, []byte(kept.list()))
		})
		if err != nil {
			t.Fatal(err)
		}
		juliet := h.Connected("juliet@example.com/x")
		juliet.Does(`<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><publish node='` + list + `'><item id='current'>` + kept.list() + `</item></publish></pubsub></iq>`)
	})
	t.Run("after", func(t *testing.T) {
		h := publishing(t, dir, accounts)
		romeo := h.Connected(romeo)
		h.Settle()
		check := func(who *routertest.Actor, want rooms) {
			t.Helper()
			items, listed, privately := views(t, who)
			for what, got := range map[string]rooms{"items": items, "list": listed, "private": privately} {
				if !maps.Equal(got, want) {
					t.Errorf("%s: %v instead of %v", what, got, want)
				}
			}
		}
		check(romeo, kept)
		juliet := h.Connected("juliet@example.com/x")
		juliet.Does(`<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><publish node='` + native + `'><item id='c@conference.example.com'><conference xmlns='` + native + `' name='C'/></item></publish></pubsub></iq>`)
		kept["c@conference.example.com"] = "C"
		check(juliet, kept)
	})
}

// TestBookmarksAllOrNothing has the disk refuse a change.
func TestBookmarksAllOrNothing(t *testing.T) {
	h := publishing(t, t.TempDir(), &routertest.Directory{})
	a := h.Connected(romeo)
	a.Does(set(rooms{"a@conference.example.com": "A"}.list()))
	h.Disk.FullEvery(1)
	a.Sends(set(rooms{"b@conference.example.com": "B"}.list()))
	a.Gets(fmt.Sprintf(refused, "wait", "resource-constraint"))
	h.Disk.FullEvery(0)
	items, listed, privately := views(t, a)
	for what, got := range map[string]rooms{"items": items, "list": listed, "private": privately} {
		if !maps.Equal(got, rooms{"a@conference.example.com": "A"}) {
			t.Errorf("%s: %v", what, got)
		}
	}
}

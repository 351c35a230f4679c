package private_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/private"
	"parley/xep/pubsub"
	"parley/xmpp"
)

// mostBookmarks is how many are kept at all three places.
const mostBookmarks = 500

func manyRooms(n int) rooms {
	r := rooms{}
	for i := range n {
		r[fmt.Sprintf("room%d@conference.example.com", i)] = "Room " + strconv.Itoa(i)
	}
	return r
}

func publish(node, id, payload string) string {
	return `<iq type='set' id='p'><pubsub xmlns='` + nsPubsub + `'><publish node='` + node + `'><item id='` + id + `'>` + payload + `</item></publish></pubsub></iq>`
}

func retract(id string) string {
	return `<iq type='set' id='p'><pubsub xmlns='` + nsPubsub + `'><retract node='` + native + `'><item id='` + id + `'/></retract></pubsub></iq>`
}

func conference(name, more string) string {
	return `<conference xmlns='` + native + `' name='` + name + `'>` + more + `</conference>`
}

func same(t *testing.T, a *routertest.Actor, want rooms) {
	t.Helper()
	items, listed, privately := views(t, a)
	for what, got := range map[string]rooms{"items": items, "list": listed, "private": privately} {
		if !maps.Equal(got, want) {
			t.Errorf("%s: %d bookmarks instead of %d: %.300v", what, len(got), len(want), got)
		}
	}
}

// refuses is a.Does for what there is no room for.
func refuses(t *testing.T, a *routertest.Actor, xml string) {
	t.Helper()
	a.Forgets()
	a.Sends(xml)
	for st := a.Hears(); st != nil; st = a.Hears() {
		if st.Kind == xmpp.IQ {
			if s := st.String(); !strings.Contains(s, "<resource-constraint ") || !strings.Contains(s, "too many bookmarks") {
				t.Errorf("%.80s: answered with %.300s", xml, s)
			}
			return
		}
	}
	t.Errorf("%.80s: no answer", xml)
}

// TestTooManyBookmarks has lists that are too long to be converted be refused, in each way that
// there is, with nothing changed.
func TestTooManyBookmarks(t *testing.T) {
	a := publishing(t, t.TempDir(), &routertest.Directory{}).Connected(romeo)
	now := manyRooms(mostBookmarks)
	a.Does(set(now.list()))
	same(t, a, now)
	over := manyRooms(mostBookmarks + 1)
	refuses(t, a, set(over.list()))
	refuses(t, a, publish(list, "current", over.list()))
	refuses(t, a, publish(native, "more@conference.example.com", conference("more", "")))
	same(t, a, now)

	a.Does(publish(native, "room7@conference.example.com", conference("another name", "")))
	now["room7@conference.example.com"] = "another name"
	a.Does(retract("room8@conference.example.com"))
	delete(now, "room8@conference.example.com")
	a.Does(publish(native, "more@conference.example.com", conference("more", "")))
	now["more@conference.example.com"] = "more"
	same(t, a, now)
}

// TestOneBookmarkOfMany looks that a change of one bookmark, in any way, does not read what the
// others are: all that somebody publishes may be 16 MiB, and everybody's writes wait meanwhile.
func TestOneBookmarkOfMany(t *testing.T) {
	a := publishing(t, t.TempDir(), &routertest.Directory{}).Connected(romeo)
	const many, large = 60, 100 << 10
	more := `<extensions><x xmlns='urn:x'>` + strings.Repeat("x", large) + `</x></extensions>`
	now := manyRooms(many)
	a.Does(set(now.list()))
	for room, name := range now {
		a.Does(publish(native, room, conference(name, more)))
	}
	now["room1@conference.example.com"] = "1"
	byList := now.list()
	now["room2@conference.example.com"] = "2"
	byNode := now.list()
	for what, xml := range map[string]string{
		"an item":   publish(native, "room0@conference.example.com", conference("0", "")),
		"retracted": retract("room3@conference.example.com"),
		"private":   set(byList), "a list": publish(list, "current", byNode),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a.Does(xml)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > many*large/2 {
			t.Errorf("%s: %d bytes were allocated for one bookmark of %d bytes all together", what, got, many*large)
		}
	}
}

// TestTwoItemsForOneRoom has clients that write one address in two ways: while one item is left, the
// room is in the list.
func TestTwoItemsForOneRoom(t *testing.T) {
	a := publishing(t, t.TempDir(), &routertest.Directory{}).Connected(romeo)
	const room, loud = "a@conference.example.com", "A@Conference.example.com"
	a.Does(publish(native, "no room", conference("", "")))
	a.Does(publish(native, room, conference("first", "")))
	a.Does(publish(native, loud, conference("second", "")))
	listed := func(want rooms) {
		t.Helper()
		_, got, privately := views(t, a)
		delete(got, "")
		if !maps.Equal(got, want) || !maps.Equal(privately, want) {
			t.Errorf("the list is %v, in private XML %v, instead of %v", got, privately, want)
		}
	}
	a.Does(set(rooms{room: "second"}.list()))
	listed(rooms{room: "second"})
	a.Does(retract(loud))
	listed(rooms{room: "first"})
	a.Does(publish(native, loud, conference("third", "")))
	a.Does(retract(room))
	listed(rooms{room: "third"})
	a.Does(set(rooms{}.list()))
	listed(rooms{})
	if items, _, _ := views(t, a); !maps.Equal(items, rooms{"no room": ""}) {
		t.Errorf("items: %v", items)
	}
}

// TestTooManyFromBefore has a list from before there was conversion that is too long: it stays what
// it is, and so do the items, until a shorter one is set.
func TestTooManyFromBefore(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	old := private.New()
	old.Schema.Steps = old.Schema.Steps[:1]
	kept := manyRooms(mostBookmarks + 1)
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
	})
	t.Run("after", func(t *testing.T) {
		h := publishing(t, dir, accounts)
		a := h.Connected(romeo)
		h.Settle()
		a.Does(publish(native, "new@conference.example.com", conference("new", "")))
		items, listed, privately := views(t, a)
		if !maps.Equal(items, rooms{"new@conference.example.com": "new"}) || len(listed) > 0 || !maps.Equal(privately, kept) {
			t.Errorf("%d items, %d in the list, %d in private XML", len(items), len(listed), len(privately))
		}
		refuses(t, a, set(kept.list()))
		few := rooms{"b@conference.example.com": "B"}
		a.Does(set(few.list()))
		same(t, a, few)
	})
}

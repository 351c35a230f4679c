package muc_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"parley/muc"
	"parley/router/routertest"
	"parley/xep/mam"
)

// house is a house with rooms, and all that they need.
func house(t testing.TB, set muc.Settings) *routertest.House {
	t.Helper()
	whole := set.Whole()
	keeper := mam.NewKeeper(func() mam.Limits { return mam.Limits{} })
	rooms := muc.New(muc.Config{Prefix: "conference", Settings: func(string) *muc.Settings { return whole }, Archives: keeper})
	return routertest.New(t, mam.Feature(keeper), muc.Feature(rooms))
}

const verona = "verona@conference.example.com"

func enter(a *routertest.Actor, nick string) {
	a.Sends(fmt.Sprintf("<presence to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>", verona, nick))
}

// crowd is a room with that many occupants.
func crowd(t testing.TB, h *routertest.House, n int) []*routertest.Actor {
	t.Helper()
	var all []*routertest.Actor
	for i := range n {
		a := h.Connected(fmt.Sprintf("user%d@example.com/x", i))
		all = append(all, a)
		enter(a, fmt.Sprintf("user%d", i))
		if i == 0 {
			a.Sends("<iq type='set' id='o' to='" + verona + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
		}
	}
	for _, a := range all {
		a.Forgets()
	}
	return all
}

// TestOneBody looks at what 300 occupants are given of a message: for all of them it is the same
// bytes in memory, and a delivery allocates little beside.
func TestOneBody(t *testing.T) {
	const n = 300
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Rate: 1 << 30, RateBytes: 1 << 40})
	all := crowd(t, h, n)
	text := strings.Repeat("x", 64<<10)
	say := func() {
		all[1].Sends("<message to='" + verona + "' type='groupchat'><body>" + text + "</body></message>")
	}
	say()
	var first *byte
	for _, a := range all {
		st := a.Hears()
		if st == nil || st.Child("", "body").Text() != text {
			t.Fatalf("%s heard %v", a.JID(), st)
		}
		if first == nil {
			first = unsafe.SliceData(st.Body())
		}
		if unsafe.SliceData(st.Body()) != first {
			t.Fatalf("%s has a body of its own", a.JID())
		}
	}
	var before, behind runtime.MemStats
	runtime.ReadMemStats(&before)
	say()
	runtime.ReadMemStats(&behind)
	if bytes := behind.TotalAlloc - before.TotalAlloc; bytes > n*uint64(len(text))/4 { // others run, too
		t.Errorf("a message of %d bytes to %d occupants allocated %d bytes", len(text), n, bytes)
	}
	if allocs := behind.Mallocs - before.Mallocs; allocs > n*6+1000 {
		t.Errorf("a message to %d occupants made %d allocations", n, allocs)
	}
}

// BenchmarkMessage is a message to a room of so many, without sockets.
func BenchmarkMessage(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := house(b, muc.Settings{Defaults: muc.DefaultRoom(), Rate: 1 << 30, RateBytes: 1 << 40})
			all := crowd(b, h, n)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				all[0].Sends("<message to='" + verona + "' type='groupchat'><body>Hark</body></message>")
				b.StopTimer()
				for _, a := range all {
					a.Forgets()
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
		})
	}
}

// rooms finds the rooms of a house.
func rooms(h *routertest.House) *muc.Service {
	for _, f := range h.Router.Features() {
		if s, ok := f.Service.(*muc.Service); ok {
			return s
		}
	}
	return nil
}

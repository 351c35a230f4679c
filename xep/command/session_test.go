package command

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/xmpp"
)

// TestOneStepAtATime has many take the same session, as somebody elsewhere could who has
// several links: one gets it.
func TestOneStepAtATime(t *testing.T) {
	var table sessions
	table.open([]byte("key"))
	asker, now := xmpp.MustJID("romeo@example.com/desk"), time.Unix(1e9, 0)
	s := &session{id: table.newID(asker, "node"), asker: asker, stages: []router.Stage{{}}}
	for range 100 {
		if !table.keep(s, now) {
			t.Fatal("there is no room for one")
		}
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if table.take(s.id, now) != nil {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Fatalf("%d have the session", got.Load())
		}
	}
	if len(table.byID) != 0 || len(table.mine) != 0 {
		t.Errorf("something is left: %v %v", table.byID, table.mine)
	}
}

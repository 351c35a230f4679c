package muc_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"parley/muc"
	"parley/storage"
)

// A house with 100,000 rooms has in memory only those that somebody is in, and lists them page by
// page at once.
func TestManyRooms(t *testing.T) {
	const n = 100_000
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom(), Rooms: 2 * n})
	err := h.Store.Write(context.Background(), func(tx *storage.Tx) error {
		for i := range n {
			jid := fmt.Sprintf("r%06d@conference.example.com", i)
			err := tx.Exec(`insert into room (id, jid, domain, config, name, listed, temporary, locked, subject, subject_by, subject_id, subject_at)
				values ($1, $2, 'conference.example.com', '{"persistent":true,"public":true,"history":20,"archive":true}', $3, true, false, false, '', '', '', 0)`,
				tx.NextID(), jid, fmt.Sprintf("Room %d", i))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	romeo := h.Connected("romeo@example.com/x")
	began := time.Now()
	romeo.Sends("<iq type='get' id='1' to='conference.example.com'><query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><after>r050000@conference.example.com</after></set></query></iq>")
	well(t, romeo)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a page took %v", took)
	}
	var before, behind runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 2000 { // to look at one does not keep it
		romeo.Sends(fmt.Sprintf("<iq type='get' id='1' to='r%06d@conference.example.com'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", i))
		romeo.Forgets()
	}
	runtime.GC()
	runtime.ReadMemStats(&behind)
	t.Logf("%d rooms are in memory, %d bytes each", rooms(h).Loaded(), (int64(behind.HeapAlloc)-int64(before.HeapAlloc))/2000)
	if n := rooms(h).Loaded(); n > 2000 {
		t.Errorf("%d rooms are in memory", n)
	}
}

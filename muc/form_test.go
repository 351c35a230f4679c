package muc_test

import (
	"context"
	"testing"

	"parley/muc"
	"parley/storage"
	"parley/xmpp"
)

// TestFormWholeOrNot refuses what a form says of the lists on the disk: then nothing of the form
// is done, whether the room stays in memory or is read again.
func TestFormWholeOrNot(t *testing.T) {
	h := house(t, muc.Settings{Defaults: muc.DefaultRoom()})
	romeo := h.Connected("romeo@example.com/x")
	enter(romeo, "Romeo")
	open(romeo, verona)
	romeo.Forgets()
	write := func(statement string) {
		if err := h.Store.Write(context.Background(), func(tx *storage.Tx) error { return tx.Exec(statement) }); err != nil {
			t.Fatal(err)
		}
	}
	write("alter table room_list rename to room_list_away")
	open(romeo, verona, "roomname", "Verona", "roomadmins", "juliet@example.com")
	if st := romeo.Hears(); st == nil || st.Type != "error" {
		t.Fatalf("%v", st)
	}
	look := func(name, affiliation string) {
		t.Helper()
		in, err := rooms(h).Show(xmpp.MustJID(verona))
		if err != nil || in.Config["roomname"] != name {
			t.Errorf("%+v %v", in.Config, err)
		}
		is := ""
		for _, a := range in.Affiliations {
			if a.Who == "juliet@example.com" {
				is = a.Affiliation
			}
		}
		if is != affiliation {
			t.Errorf("juliet is %q", is)
		}
	}
	look("", "")
	write("alter table room_list_away rename to room_list")
	open(romeo, verona, "roomdesc", "fair") // a later form has nothing of the one before
	look("", "")
	open(romeo, verona, "roomname", "Verona", "roomadmins", "juliet@example.com")
	look("Verona", "admin")
}

package router_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// seated is a session of a given address.
type seated struct {
	*routertest.Session
	jid xmpp.JID
}

func (s seated) JID() xmpp.JID { return s.jid }

// TestSaveAndRestore takes a session out of one house and puts it into another one: nobody
// hears of it, and all that is known of it is there.
func TestSaveAndRestore(t *testing.T) {
	var shown int
	odd := router.Feature{
		Name: "odd",
		Presence: func(_ *router.Turn, _ *router.Account, c router.PresenceChange) {
			shown++
		},
		Save: func(_ *router.Turn, _ *router.Account, res router.Resource) []byte {
			return []byte(res.JID().Resource())
		},
		Restore: func(_ *router.Turn, _ *router.Account, res router.Resource, data []byte) error {
			switch {
			case string(data) == "panic":
				panic("as it was told")
			case string(data) != res.JID().Resource():
				return errors.New("another one")
			}
			return nil
		},
	}
	h := routertest.New(t, odd)
	h.Exists(jid(t, "juliet@example.com"))
	p, err := h.Bind(jid(t, "juliet@example.com/desk"))
	if err != nil {
		t.Fatal(err)
	}
	send := func(xml string) {
		st, err := xmpp.ParseStanza(xml)
		if err != nil {
			t.Fatal(err)
		}
		var rd router.Round
		if err := p.Sender.Send(context.Background(), &rd, st); err != nil {
			t.Fatal(err)
		}
		rd.Flush()
	}
	send("<presence><show>dnd</show><priority>-3</priority></presence>")
	send("<presence to='romeo@example.com/x'/>")
	p.Sender.Account().Do(func(*router.Turn) {
		p.Sender.Account().SetInterest(p.Sender)
		p.Sender.Account().SetCopies(p.Sender, true)
	})
	saved, ok := p.Sender.Save()
	if !ok {
		t.Fatal("not saved")
	}
	p.Sender.Leave("")
	if _, ok := p.Sender.Save(); ok {
		t.Error("saved although it is over")
	}
	text, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}

	other := routertest.New(t, odd)
	restore := func(change func(*router.Saved)) (*router.Sender, error) {
		var sv router.Saved
		if err := json.Unmarshal(text, &sv); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&sv)
		}
		return other.Router.Restore(context.Background(), sv, []storage.ID{7}, func(full xmpp.JID) router.Session { return seated{&routertest.Session{}, full} })
	}
	if s, err := restore(nil); err == nil || s != nil {
		t.Errorf("without an account: %v", err)
	}
	other.Exists(jid(t, "juliet@example.com"))
	for what, change := range map[string]func(*router.Saved){
		"no address":  func(sv *router.Saved) { sv.JID = "juliet@example.com" },
		"no presence": func(sv *router.Saved) { sv.Presence = "<presence" },
	} {
		if s, err := restore(change); err == nil || s != nil || errors.Is(err, router.ErrNotWhole) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, change := range map[string]func(*router.Saved){
		"another one": func(sv *router.Saved) { sv.Features["odd"] = nil },
		"a panic":     func(sv *router.Saved) { sv.Features["odd"] = []byte("panic") },
		"directed":    func(sv *router.Saved) { sv.Directed = []string{"@"} },
	} {
		s, err := restore(change)
		if !errors.Is(err, router.ErrNotWhole) {
			t.Fatalf("%s: %v", what, err)
		}
		s.Leave("")
	}
	shown = 0
	s, err := restore(nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := restore(nil); err == nil || again != nil {
		t.Errorf("twice: %v", err)
	}
	res := s.Account().Resources()[0]
	if shown != 0 || len(s.Account().Resources()) != 1 || other.Router.Sessions() != 1 {
		t.Errorf("%d shown, %d resources, %d sessions", shown, len(s.Account().Resources()), other.Router.Sessions())
	}
	if res.Priority != -3 || !res.Interest || !res.Copies || !strings.Contains(res.Presence.String(), "<show>dnd</show>") ||
		res.Presence.From != s.JID() || !res.Shares(jid(t, "romeo@example.com/x")) || !s.Holds(7) || !res.Since().Equal(saved.Since) {
		t.Errorf("got %+v", res)
	}
	s.Leave("")
	if shown != 1 {
		t.Errorf("%d shown when it went", shown)
	}
}

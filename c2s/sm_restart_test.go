package c2s_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/c2s"
	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// restarted runs before in a house, stops that, and runs after in one on the same disk.
func restarted(t *testing.T, change func(*plan), before, after func(*testing.T, *house)) {
	t.Helper()
	dir := t.TempDir()
	in := func(name string, change func(*plan), f func(*testing.T, *house)) {
		t.Run(name, func(t *testing.T) {
			h := open(t, func(p *plan) {
				p.dir = dir
				if change != nil {
					change(p)
				}
			})
			f(t, h)
			h.stop()
			h.router.Stop(t.Context())
		})
	}
	in("before", nil, before)
	if !t.Failed() {
		in("after", change, after)
	}
}

// at has a client of an earlier house use another one.
func (m *managed) at(h *house) *managed {
	m.h = h
	return m
}

// A clean restart loses no session that may be resumed, and nobody sees it go: its queue, its
// counts, its presence, whom it was shown to, and what it asked to hear of.
func TestRestart(t *testing.T) {
	var ann, bob, cid *managed
	var annWas string
	restarted(t, nil, func(t *testing.T, h *house) {
		h.contacts()
		ann, bob, cid = h.managed("ann", "phone"), h.managed("bob", "desk"), h.managed("cid", "x")
		for _, m := range []*managed{ann, bob, cid} {
			m.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
			m.gets("type='result'")
			m.Say("<presence><show>away</show><priority>7</priority></presence>")
			m.sync()
		}
		ann.Say("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
		ann.Say("<iq type='get' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
		ann.Say("<presence to='%s'><status>directed</status></presence>", cid.JID)
		ann.Say("<inactive xmlns='urn:xmpp:csi:0'/>")
		ann.sync()
		cid.sync()
		ann.mute = true
		say(bob.Client, ann.JID.String(), "sent, not acknowledged")
		for n := len(ann.heard); len(ann.heard) == n; {
			ann.get()
		}
		ann.in-- // it was not
		dora := h.login("dora", "x")
		dora.Say("<presence to='%s'/>", ann.JID)
		dora.Ping(nil)
		annWas = fmt.Sprint(ann.handled())
		done := make(chan bool)
		go func() {
			defer close(done)
			h.stop()
		}()
		bob.ExpectEnd("system-shutdown")
		bob.Write("</stream:stream>")
		<-done
	}, func(t *testing.T, h *house) {
		ann.mute = false
		if n := h.Asleep(); n != 3 {
			t.Errorf("%d sessions wait", n)
		}
		dora := h.login("dora", "y")
		bob.at(h).resume()
		say(bob.Client, ann.JID.String(), "meanwhile")
		bob.sync()
		if got := fmt.Sprint(ann.at(h).resume()); got != annWas {
			t.Errorf("%s handled instead of %s", got, annWas)
		}
		ann.heard = nil
		var away []string
		for !strings.Contains(strings.Join(ann.heard, " "), "meanwhile") {
			if st := ann.get(); st.Kind == xmpp.Presence && st.Type == "unavailable" {
				away = append(away, st.From.Bare().String())
			}
		}
		if got := strings.Join(ann.heard, ", "); got != "sent, not acknowledged, meanwhile" {
			t.Errorf("got %s", got)
		}
		if strings.Join(away, " ") != "dora@"+host { // who was not to be resumed
			t.Errorf("%v went away", away)
		}
		// What it asked to hear of.
		desk := h.managed("ann", "desk")
		say(bob.Client, desk.JID.String(), "a copy")
		ann.gets("<received xmlns='urn:xmpp:carbons:2'", "a copy")
		desk.Say("<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='x@y'/></block></iq>")
		ann.gets("<block xmlns='urn:xmpp:blocking'")
		desk.Say("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='z@%s'/></query></iq>", host)
		ann.gets("jabber:iq:roster", "z@"+host)
		// Who sees it: contacts, itself, and who was shown it.
		bob.Say("<presence to='%s' type='probe'/>", ann.JID.Bare())
		bob.sync()
		say(dora, "ann@"+host, "to the priority")
		for !strings.Contains(ann.gets().String(), "to the priority") {
		}
		cid.at(h).resume()
		cid.sync()
		ann.Bye()
		for st := cid.get(); st.Type != "unavailable" || st.From != ann.JID; st = cid.get() {
		}
		for st := bob.get(); st.Type != "unavailable" || st.From != ann.JID; st = bob.get() {
		}
	})
}

// Time spent off counts: who does not come back in time is shown to go.
func TestRestartTooLate(t *testing.T) {
	var ann, bob *managed
	restarted(t, nil, func(t *testing.T, h *house) {
		h.contacts()
		ann, bob = h.managed("ann", "phone"), h.managed("bob", "desk")
		ann.Bye()
		ann = &managed{Client: h.login("ann", "phone"), h: h, name: "ann"}
		ann.enable("<enable xmlns='urn:xmpp:sm:3' resume='1' max='1'/>")
		bob.Say("<presence/>")
		ann.Say("<presence/>")
		bob.sync()
		ann.sync()
		bob.ack()
		bob.sync()
	}, func(t *testing.T, h *house) {
		time.Sleep(moment)
		bob.at(h).resume()
		for st := bob.get(); st.Type != "unavailable" || st.From != ann.JID; st = bob.get() {
		}
		if _, st := ann.at(h).ask(); !strings.Contains(st.String(), "item-not-found") {
			t.Errorf("got %s", st)
		}
	})
}

// A session that is not what it was cannot be resumed, and who saw it sees it go; a removed
// account is one reason of many.
func TestRestartNotWhole(t *testing.T) {
	var ann, bob *managed
	restarted(t, func(p *plan) {
		p.features = []router.Feature{{
			Name: "forgetful",
			Restore: func(_ *router.Turn, a *router.Account, _ router.Resource, _ []byte) error {
				if a.JID.Local() == "ann" {
					return fmt.Errorf("not as it was")
				}
				return nil
			},
		}}
	}, func(t *testing.T, h *house) {
		h.contacts()
		ann, bob = h.managed("ann", "phone"), h.managed("bob", "desk")
		bob.Say("<presence/>")
		ann.Say("<presence/>")
		bob.sync()
		ann.sync()
	}, func(t *testing.T, h *house) {
		bob.at(h).resume()
		for st := bob.get(); st.Type != "unavailable" || st.From != ann.JID; st = bob.get() {
		}
		if _, st := ann.at(h).ask(); !strings.Contains(st.String(), "item-not-found") {
			t.Errorf("got %s", st)
		}
	})
}

// Messages that wait until they are taken keep their ids over a restart; where the sessions
// cannot be written, they end in good order.
func TestRestartKeepsIDs(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			k := &keeper{}
			var ann *managed
			dir := t.TempDir()
			t.Run("before", func(t *testing.T) {
				h := open(t, func(p *plan) { p.dir, p.features = dir, []router.Feature{k.feature()} })
				h.contacts()
				ann = h.managed("ann", "phone")
				bob := h.login("bob", "x")
				ann.sync()
				ann.mute = true
				say(bob, ann.JID.String(), "one")
				ann.gets("<body>one")
				if full {
					h.disk.FullEvery(1)
				}
				h.stop()
				if _, left := k.lists(); full != (left == "one") {
					t.Errorf("left: %q", left)
				}
			})
			t.Run("after", func(t *testing.T) {
				again := &keeper{}
				f := again.feature()
				again.ids = k.ids
				h := open(t, func(p *plan) { p.dir, p.features = dir, []router.Feature{f} })
				if full {
					if h.Asleep() != 0 {
						t.Error("somebody waits")
					}
					return
				}
				ann.at(h).resume()
				ann.ack()
				ann.sync()
				if took, _ := again.lists(); took != "one" {
					t.Errorf("taken: %q", took)
				}
			})
		})
	}
}

// What was saved is read once: a crash later does not bring it back.
func TestRestoredOnce(t *testing.T) {
	restarted(t, nil, func(t *testing.T, h *house) {
		h.managed("juliet", "a").sync()
	}, func(t *testing.T, h *house) {
		if h.Asleep() != 1 {
			t.Errorf("%d wait", h.Asleep())
		}
		err := h.store.Read(t.Context(), func(tx *storage.Tx) error {
			return tx.Each("select count(*) from session", nil, func(r *storage.Row) error {
				if r.Int(0) != 0 {
					t.Error("it is still there")
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A client that was cut off, comes back after a clean restart without its old session and
// sends again what was not acknowledged, has said it once.
func TestResentAfterRestart(t *testing.T) {
	const said = "<message to='bob@example.com' type='chat' id='one'><body>one</body></message>"
	restarted(t, nil, func(t *testing.T, h *house) {
		h.contacts()
		ann := h.managed("ann", "phone")
		ann.Say(said)
		ann.sync()
		ann.cut()
		h.gone("ann")
	}, func(t *testing.T, h *house) {
		ann, bob := h.managed("ann", "telephone"), h.login("bob", "x")
		ann.Say(said)
		ann.Say("<message to='bob@example.com' type='chat' id='two'><body>two</body></message>")
		ann.sync()
		bob.Say("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>")
		for _, want := range []string{"<body>one", "<body>two", "type='result'"} {
			if st := bob.Next(); !strings.Contains(st.String(), want) {
				t.Errorf("got %s, not %s", st, want)
			}
		}
	})
}

// An account that was disabled, or got a new password, while the server stood still has no
// session when it is started again, and who saw that sees it go. Others have theirs.
func TestExpiredWhileStopped(t *testing.T) {
	var ann, bob *managed
	restarted(t, nil, func(t *testing.T, h *house) {
		h.contacts()
		ann, bob = h.managed("ann", "phone"), h.managed("bob", "desk")
		for _, m := range []*managed{ann, bob} {
			m.Say("<presence/>")
			m.sync()
			m.ack()
			m.sync()
		}
		h.stop()
		for _, want := range []int{1, 1} {
			if n, err := c2s.ExpireSaved(t.Context(), h.store, ann.JID.Bare()); n != want || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
	}, func(t *testing.T, h *house) {
		time.Sleep(moment)
		bob.at(h).resume()
		for st := bob.get(); st.Type != "unavailable" || st.From != ann.JID; st = bob.get() {
		}
		if _, st := ann.at(h).ask(); !strings.Contains(st.String(), "item-not-found") {
			t.Errorf("got %s", st)
		}
	})
}

package muc

import (
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// awaitUnlock has a new room open by itself when its owner says nothing (XEP-0045 §10.1.1,
// step 5): there are clients that enter and never configure.
func (t *turn) awaitUnlock() {
	r, id := t.room, t.id
	r.unlock = t.s.after(t.settings().UnlockAfter, func() {
		r.s.later(r.jid, func(t *turn) {
			if !t.locked || t.id != id { // it is another room by now, which has a time of its own
				return
			}
			if err := t.open(t.cfg, nil); err != nil {
				t.s.log.Error("a new room could not be opened", "room", t.jid.String(), "error", err)
				t.awaitUnlock()
			}
		})
	})
}

func (t *turn) stopUnlock() {
	if t.unlock != nil {
		t.unlock.Stop()
		t.room.unlock = nil
	}
}

// open unlocks the room with a configuration, and writes what else goes with that, if anything
// does: all of a form is done, or none.
func (t *turn) open(cfg *RoomConfig, also func(*storage.Tx) error) error {
	err := t.write(func(tx *storage.Tx) error {
		if err := setConfig(tx, t.id, cfg); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return err
	}
	t.room.cfg, t.locked = cfg, false
	t.stopUnlock()
	return nil
}

// ownerGet tells how the room is configured (XEP-0045 §10.1.3, §10.2).
func (t *turn) ownerGet(q request) (xmpp.Payload, error) {
	if q.aff < owner {
		return nil, xmpp.Refuse("forbidden", "")
	}
	var b xmpp.Builder
	return b.Open(nsOwner, "query").Raw(t.form().Payload()).Payload(), nil
}

// ownerSet configures the room, or destroys it.
func (t *turn) ownerSet(q request) (xmpp.Payload, error) {
	if q.aff < owner {
		return nil, xmpp.Refuse("forbidden", "")
	}
	if d := q.payload.Child(nsOwner, "destroy"); !d.IsZero() {
		err := t.destroyed(d)
		if err == nil {
			t.s.log.Info("room destroyed", "room", t.jid.String(), "by", who(q))
		}
		return nil, err
	}
	form, ok := xmpp.ParseForm(q.payload.Child(xmpp.NSForm, "x"))
	switch {
	case !ok:
		return nil, wrong("a form is wanted")
	case form.Type == "cancel":
		if t.locked { // XEP-0045 §10.1.3: it is not made after all
			return nil, t.destroy(xmpp.JID{}, "", "")
		}
		return nil, nil
	case form.Type != "submit":
		return nil, wrong("a form of type submit is wanted")
	case len(form.Fields) == 0 && t.locked:
		return nil, t.open(t.cfg, nil) // XEP-0045 §10.1.2
	}
	return nil, t.configure(q, form)
}

// destroyed reads who asks for the end of the room, and where to go instead.
func (t *turn) destroyed(d xmpp.Element) error {
	var alternate xmpp.JID
	if text := d.Attr("jid"); text != "" {
		var err error
		if alternate, err = xmpp.ParseJID(text); err != nil {
			return xmpp.Refuse("jid-malformed", "")
		}
	}
	text := func(name string) string {
		s := strings.TrimSpace(d.ChildText(nsOwner, name))
		return s[:min(len(s), 1024)]
	}
	return t.destroy(alternate, strings.ToValidUTF8(text("reason"), ""), strings.ToValidUTF8(text("password"), ""))
}

// destroy ends the room (XEP-0045 §10.9). Everybody hears it of themselves, before who asked is
// told that it is done.
func (t *turn) destroy(alternate xmpp.JID, reason, password string) error {
	if err := t.raze(); err != nil {
		return err
	}
	var b xmpp.Builder
	b.Open("", "destroy", "jid", alternate.String())
	if password != "" {
		b.Leaf("", "password", password)
	}
	if reason != "" {
		b.Leaf("", "reason", reason)
	}
	end := b.Payload()
	for _, o := range t.occupants {
		o.aff, o.role = none, nobody
		for _, s := range o.seats {
			n := &notice{occ: o, seat: s, typ: "unavailable", extra: end}
			t.say(n.make(knowing|oneself).Readdressed(s.jid, o.jid))
		}
	}
	for _, s := range t.bySession {
		t.s.displace(s.jid, t.jid)
	}
	t.room.occupants = nil
	clear(t.byNick)
	clear(t.bySession)
	return nil
}

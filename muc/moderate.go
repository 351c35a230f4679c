package muc

import (
	"crypto/rand"
	"strings"

	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// Namespaces of moderation: of this version of XEP-0425, and of the one before, in which it
// stands in an <apply-to/> (XEP-0422 §3.1). One message tells what was done in both.
const (
	nsModerate    = "urn:xmpp:message-moderate:1"
	nsModerateOld = "urn:xmpp:message-moderate:0"
	nsFasten      = "urn:xmpp:fasten:0"
)

// maxReason is how many bytes a reason for something may have.
const maxReason = 1024

// moderation is a message that a moderator takes back.
type moderation struct {
	target string // the id that the room has given it
	reason string
	by     string // the moderator's nickname; "" where it is not in the room
	id     string // the moderator's occupant id
}

// moderate takes a request of the present version (XEP-0425 §3).
func (t *turn) moderate(q request) (xmpp.Payload, error) {
	if q.payload.Child(nsRetract, "retract").IsZero() {
		return nil, wrong("a message can be retracted, and nothing else")
	}
	return nil, t.moderated(q, moderation{target: q.payload.Attr("id"), reason: q.payload.ChildText(nsModerate, "reason")})
}

// moderateOld takes one of the version before.
func (t *turn) moderateOld(q request) (xmpp.Payload, error) {
	e := q.payload.Child(nsModerateOld, "moderate")
	if e.IsZero() {
		return nil, xmpp.Refuse("service-unavailable", "")
	}
	if e.Child(nsRetractOld, "retract").IsZero() {
		return nil, wrong("a message can be retracted, and nothing else")
	}
	return nil, t.moderated(q, moderation{target: q.payload.Attr("id"), reason: e.ChildText(nsModerateOld, "reason")})
}

// moderated takes a message back (XEP-0425 §3.1): a tombstone is in its place, and that this was
// done is in the archive, before anybody is told.
func (t *turn) moderated(q request, m moderation) error {
	m.reason = strings.TrimSpace(m.reason)
	switch {
	case q.aff < admin && (q.seat == nil || q.seat.occ.role != moderator):
		return xmpp.Refuse("forbidden", "moderators take back what others have said") // XEP-0425 §3.2
	case m.target == "":
		return wrong("which message is meant is said by the id that the room gave it")
	case len(m.reason) > maxReason:
		return xmpp.Refuse("not-acceptable", "a reason is short")
	}
	m.by, m.id = t.actor(q), t.s.occupantID(t.jid, q.st.From.Bare())
	said, done, err := t.overrule(m)
	if err != nil || !done {
		return err
	}
	t.unsay(m.target)
	q.after(func() { t.pass(said) })
	return nil
}

// overrule writes what was moderated. done is false where that is a tombstone already.
func (t *turn) overrule(m moderation) (said *saying, done bool, err error) {
	out := xmpp.NewStanza(xmpp.Message, m.announcement(t.jid))
	out.Type, out.From, out.ID = "groupchat", t.jid, rand.Text()
	said = &saying{st: out, out: out}
	err = t.write(func(tx *storage.Tx) error {
		said.id, done = 0, false
		k, was, err := t.findSaid(tx, m.target)
		switch {
		case err != nil:
			return err
		case was == nil:
			return xmpp.Refuse("item-not-found", "there is no such message")
		case k.Tombstone:
			return nil
		case was.Has(nsRetract, "retract"):
			return xmpp.Refuse("not-allowed", "that something was taken back is not taken back") // XEP-0424 §5
		}
		done = true
		if t.cfg.Archive {
			e := mam.Entry{Archive: t.archive(), From: t.jid, Stanza: out.AppendNS(nil, xmpp.NSClient)}
			if said.id, err = t.s.cfg.Archives.Add(tx, e); err != nil {
				return err
			}
		}
		return t.bury(tx, k, was, m.tombstone(t.jid, out.ID, tx.NextID()))
	})
	return said, done, err
}

// announcement is what everybody is told.
func (m moderation) announcement(room xmpp.JID) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsRetract, "retract", "id", m.target)
	m.moderator(&b, nsModerate, room).Close()
	m.why(&b).Close()
	b.Open(nsFasten, "apply-to", "id", m.target)
	m.moderator(&b, nsModerateOld, room)
	b.Open(nsRetractOld, "retract").Close()
	return m.why(&b).Payload()
}

// tombstone is what the archive has in the place of the message (XEP-0425 §4).
func (m moderation) tombstone(room xmpp.JID, id string, at storage.ID) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsRetract, "retracted", "id", id, "stamp", stamp(at.Time()))
	m.moderator(&b, nsModerate, room).Close()
	return m.why(&b).Payload()
}

// moderator opens <moderated/>: by whom. Of one who is not in the room only the occupant id is
// told.
func (m moderation) moderator(b *xmpp.Builder, ns string, room xmpp.JID) *xmpp.Builder {
	by := ""
	if full, err := room.WithResource(m.by); err == nil && m.by != "" {
		by = full.String()
	}
	return b.Open(ns, "moderated", "by", by).Open(nsOccupantID, "occupant-id", "id", m.id).Close()
}

func (m moderation) why(b *xmpp.Builder) *xmpp.Builder {
	if m.reason != "" {
		b.Leaf("", "reason", xmpp.Clean(m.reason))
	}
	return b
}

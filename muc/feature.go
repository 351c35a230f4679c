package muc

import (
	"crypto/rand"
	"strings"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// Feature is what the rooms are to the server.
func Feature(s *Service) router.Feature {
	return router.Feature{
		Name: "rooms",
		XEPs: []router.XEP{
			{Number: 45, Version: "1.35.5"},
			{Number: 122, Version: "1.0.2", Note: "numbers and their range"},
			{Number: 249, Version: "1.2", Note: "beside mediated invitations"},
			{Number: 307, Version: "0.1"},
			{Number: 317, Version: "0.3.1"},
			{Number: 372, Version: "0.5.0", Note: "mentions of members who are not there"},
			{Number: 410, Version: "1.1.0"},
			{Number: 421, Version: "1.0.1"},
			{Number: 422, Version: "0.2.0", Note: "of moderation"},
			{Number: 425, Version: "0.3.0", Note: "and the version before, as Gajim 1.7 speaks it"},
			{Number: 437, Version: "0.2.0", Note: "of rooms that one has an affiliation with"},
			{Number: 463, Version: "0.2.0"},
			{Number: 486, Version: "0.1.0"},
			{Number: 500, Version: "0.1.1"},
		},
		Service: s,
		Items:   s.services,
		Start:   s.start,
		Stop:    s.leaveSeats,
		Save:    s.save,
		Restore: s.restore,
		Distant: s.distant,
		Leaving: s.leaving,
		Forget: func(tx *storage.Tx, _ int64, jid xmpp.JID) error {
			return forgetUser(tx, jid, s.cfg.Settings(jid.Domain()).Versions)
		},
		Schema: schema,
	}
}

// services names the domain that has the rooms of another one.
func (s *Service) services(host string) []router.Item {
	j, ok := s.domainOf(host)
	if !ok {
		return nil
	}
	return []router.Item{{JID: j, Name: "Rooms"}}
}

// handlers says who answers what.
func (s *Service) handlers() tables {
	return tables{
		room: map[asks]handler{
			{"get", xmpp.NSInfo, "query"}:         (*turn).roomInfo,
			{"get", nsItems, "query"}:             (*turn).roomItems,
			{"get", nsPing, "ping"}:               func(*turn, request) (xmpp.Payload, error) { return nil, nil },
			{"get", nsAdmin, "query"}:             (*turn).adminGet,
			{"set", nsAdmin, "query"}:             (*turn).adminSet,
			{"get", nsOwner, "query"}:             (*turn).ownerGet,
			{"set", nsOwner, "query"}:             (*turn).ownerSet,
			{"get", nsInBand, "query"}:            (*turn).registerGet,
			{"set", nsInBand, "query"}:            (*turn).registerSet,
			{"get", nsVCard, "vCard"}:             (*turn).cardGet,
			{"set", nsVCard, "vCard"}:             (*turn).cardSet,
			{"set", nsCommands, "command"}:        (*turn).command,
			{"set", nsModerate, "moderate"}:       (*turn).moderate,
			{"set", nsFasten, "apply-to"}:         (*turn).moderateOld,
			{"get", "urn:xmpp:mam:2", "query"}:    (*turn).queryForm,
			{"set", "urn:xmpp:mam:2", "query"}:    (*turn).query,
			{"get", "urn:xmpp:mam:2", "metadata"}: (*turn).metadata,
		},
		service: map[asks]func(*Service, *xmpp.Stanza) (xmpp.Payload, error){
			{"get", xmpp.NSInfo, "query"}: (*Service).info,
			{"get", nsItems, "query"}:     (*Service).items,
			{"get", nsPing, "ping"}:       func(*Service, *xmpp.Stanza) (xmpp.Payload, error) { return nil, nil },
			{"get", nsUnique, "unique"}:   (*Service).unique,
			{"get", nsVCard, "vCard"}:     (*Service).card,
		},
	}
}

// unique gives a name for a room that nobody else has (XEP-0307 §2).
func (s *Service) unique(*xmpp.Stanza) (xmpp.Payload, error) {
	var b xmpp.Builder
	return b.Leaf(nsUnique, "unique", strings.ToLower(rand.Text())).Payload(), nil
}

// post sends a stanza from outside of a turn.
func (s *Service) post(st *xmpp.Stanza) {
	var rd router.Round
	s.router.Deliver(&rd, st)
	rd.Flush()
}

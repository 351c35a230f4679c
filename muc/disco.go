package muc

import (
	"context"
	"slices"
	"strconv"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// toService takes a stanza for a domain of rooms itself.
func (s *Service) toService(rd *router.Round, st *xmpp.Stanza) {
	switch {
	case st.Kind == xmpp.Presence && st.Has(nsMUC, "x"):
		s.router.Bounce(rd, st, xmpp.Refuse("jid-malformed", "a room is entered, by its name and a nickname"))
	case st.Kind == xmpp.Presence:
		s.servicePresence(rd, st)
	case st.Kind == xmpp.Message && st.Type == "error": // of what was told to who is not there any more
		s.watchers.end(st.From.Bare(), func(w watcher) bool { return w == watcher{st.From, st.To.Domain()} })
	case st.Kind == xmpp.Message:
		s.router.Bounce(rd, st, xmpp.Refuse("service-unavailable", ""))
	case st.Type == "get" || st.Type == "set":
		name := st.Payload().Name()
		h := s.tables.service[asks{st.Type, name.Space, name.Local}]
		var p xmpp.Payload
		var err error = xmpp.Refuse("service-unavailable", "")
		if h != nil && st.To.Resource() == "" {
			p, err = h(s, st)
		}
		s.router.Answer(rd, st, p, err)
	}
}

// info tells what the domain is (XEP-0045 §6.2).
func (s *Service) info(st *xmpp.Stanza) (xmpp.Payload, error) {
	if st.Payload().Attr("node") != "" {
		return nil, xmpp.Refuse("item-not-found", "")
	}
	return infoOf("", []xmpp.Identity{{Category: "conference", Type: "text", Name: "Rooms"}}, []string{
		xmpp.NSInfo, nsItems, nsMUC, nsStable, nsUnique, xmpp.NSRSM, nsOccupantID, nsPing, nsVCard, nsActivity,
	}, nil), nil
}

func infoOf(node string, who []xmpp.Identity, features []string, forms []xmpp.Form) xmpp.Payload {
	var b xmpp.Builder
	b.Open(xmpp.NSInfo, "query", "node", node)
	for _, id := range who {
		b.Open("", "identity", "category", id.Category, "type", id.Type, "name", xmpp.Clean(id.Name)).Close()
	}
	for _, f := range features {
		b.Open("", "feature", "var", f).Close()
	}
	for _, f := range forms {
		b.Raw(f.Payload())
	}
	return b.Payload()
}

// maxRooms is how many rooms one answer lists.
const maxRooms = 200

// items lists the rooms of a domain that are public, in pages (XEP-0045 §6.3, XEP-0059).
func (s *Service) items(st *xmpp.Stanza) (xmpp.Payload, error) {
	if st.Payload().Attr("node") != "" {
		return nil, xmpp.Refuse("item-not-found", "")
	}
	paging, err := xmpp.ParsePaging(st.Payload())
	if err != nil {
		return nil, err
	}
	n := maxRooms
	if paging.Max >= 0 {
		n = min(n, paging.Max)
	}
	domain := st.To.Domain()
	var list []listed
	count, before := 0, 0
	err = s.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		if paging.Backwards {
			list, err = roomsBefore(tx, domain, paging.Before, n)
		} else {
			list, err = roomsBehind(tx, domain, paging.After, false, n)
		}
		if err != nil {
			return err
		}
		first := ""
		if len(list) > 0 {
			first = list[0].jid
		}
		count, before, err = countRooms(tx, domain, first)
		return err
	})
	if err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsItems, "query")
	for _, r := range list {
		b.Open("", "item", "jid", r.jid, "name", xmpp.Clean(s.title(r))).Close()
	}
	if paging.Max >= 0 || paging.Backwards || paging.After != "" || count > len(list) {
		page := xmpp.Page{Index: -1, Count: count}
		if len(list) > 0 {
			page.First, page.Last, page.Index = list[0].jid, list[len(list)-1].jid, before
		}
		b.Raw(page.Payload())
	}
	return b.Payload(), nil
}

// title is the name of a room, with how many are in it (XEP-0045 §6.3).
func (s *Service) title(r listed) string {
	name := r.name
	if name == "" {
		if j, err := xmpp.ParseJID(r.jid); err == nil {
			name = j.Local()
		}
	}
	return name
}

// roomInfo tells what the room is (XEP-0045 §6.4).
func (t *turn) roomInfo(q request) (xmpp.Payload, error) {
	switch node := q.payload.Attr("node"); node {
	case "":
	case "x-roomuser-item":
		return t.reservedNick(q)
	case nsTraffic:
		return nil, xmpp.Refuse("service-unavailable", "") // XEP-0045 §18.1.1: nothing is taken off
	default:
		return t.commandInfo(q, node)
	}
	name := t.cfg.Name
	if name == "" {
		name = t.jid.Local()
	}
	return infoOf("", []xmpp.Identity{{Category: "conference", Type: "text", Name: name}}, t.features(), []xmpp.Form{t.infoForm(q)}), nil
}

// features are what is announced of a room.
func (t *turn) features() []string {
	c := t.cfg
	list := []string{
		nsMUC, nsStable, nsSelfPing, nsRequest, "jabber:iq:register", xmpp.NSInfo, nsItems, nsPing, nsStanzaID, nsOccupantID, nsHats, nsCommands, nsVCard, nsVersions,
		either(c.Persistent, "muc_persistent", "muc_temporary"),
		either(c.Public, "muc_public", "muc_hidden"),
		either(c.MembersOnly, "muc_membersonly", "muc_open"),
		either(c.Moderated, "muc_moderated", "muc_unmoderated"),
		either(c.NonAnonymous, "muc_nonanonymous", "muc_semianonymous"),
		either(c.Password != "", "muc_passwordprotected", "muc_unsecured"),
	}
	if c.Archive {
		list = append(list, "urn:xmpp:mam:2", "urn:xmpp:mam:2#extended",
			nsRetract, nsRetract+"#tombstone", nsModerate, nsModerateOld)
	}
	slices.Sort(list)
	return list
}

func either(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

// infoForm is the extended information about a room (XEP-0045 §16.5.4). The subject is for who
// may enter.
func (t *turn) infoForm(q request) xmpp.Form {
	c := t.cfg
	f := xmpp.Form{Type: "result", Fields: []xmpp.Field{
		xmpp.FormType(nsRoomInfo),
		text("muc#roominfo_description", "What it is about", c.Description),
		text("muc#roominfo_occupants", "How many are in it", strconv.Itoa(len(t.occupants))),
		text("muc#roominfo_lang", "Language", c.Lang),
		boolean("muc#roominfo_changesubject", "Everybody may change the subject", c.ChangeSubject),
		boolean("muc#roominfo_subjectmod", "Everybody may change the subject", c.ChangeSubject),
		text("muc#maxhistoryfetch", "How many messages are told to who enters", strconv.Itoa(t.historyLength())),
	}}
	if c.SlowMode > 0 {
		f.Fields = append(f.Fields, text(fieldSlowInfo, "Seconds between two messages of one person", strconv.Itoa(c.SlowMode)))
	}
	if t.subject.text != "" && (q.seat != nil || q.aff >= member || !c.MembersOnly && c.Password == "" && q.aff != outcast) {
		f.Fields = append(f.Fields, text("muc#roominfo_subject", "Subject", t.subject.text))
	}
	if len(t.photos) > 0 {
		f.Fields = append(f.Fields, t.photoField())
	}
	if hash := t.hats.hash(); hash != "" {
		f.Fields = append(f.Fields, text("hats#hash", "Which hats there are", hash)) // XEP-0317 §2
	}
	if len(c.Contacts) > 0 {
		f.Fields = append(f.Fields, xmpp.Field{Var: "muc#roominfo_contactjid", Type: "jid-multi", Label: "Whom to ask", Values: c.Contacts})
	}
	if c.Pubsub != "" {
		f.Fields = append(f.Fields, text("muc#roominfo_pubsub", "The node that belongs to the room", c.Pubsub))
	}
	return f
}

// roomItems lists who is in the room, to who is in it, too (XEP-0045 §6.5): by their nicknames.
func (t *turn) roomItems(q request) (xmpp.Payload, error) {
	if q.payload.Attr("node") == nsCommands {
		return t.commandItems(q), nil
	}
	var b xmpp.Builder
	b.Open(nsItems, "query", "node", q.payload.Attr("node"))
	if q.seat != nil {
		for _, o := range t.occupants {
			if t.shows(o.role) {
				b.Open("", "item", "jid", o.jid.String(), "name", o.nick()).Close()
			}
		}
	}
	return b.Payload(), nil
}

// reservedNick tells somebody the own reserved nickname (XEP-0045 §7.12).
func (t *turn) reservedNick(q request) (xmpp.Payload, error) {
	var who []xmpp.Identity
	if e := t.lists.by[q.st.From.Bare()]; e.nick != "" {
		who = []xmpp.Identity{{Category: "conference", Type: "text", Name: e.nick}}
	}
	return infoOf("x-roomuser-item", who, nil, nil), nil
}

// nsUnique is the namespace of names for rooms (XEP-0307).
const nsUnique = nsMUC + "#unique"

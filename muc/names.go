package muc

import (
	"parley/xmpp"
)

// Namespaces of rooms (XEP-0045 §16.1) and of what they know.
const (
	nsMUC        = "http://jabber.org/protocol/muc"
	nsUser       = nsMUC + "#user"
	nsAdmin      = nsMUC + "#admin"
	nsOwner      = nsMUC + "#owner"
	nsRequest    = nsMUC + "#request"
	nsRegister   = nsMUC + "#register"
	nsConfig     = nsMUC + "#roomconfig"
	nsRoomInfo   = nsMUC + "#roominfo"
	nsTraffic    = nsMUC + "#traffic"
	nsStable     = nsMUC + "#stable_id"
	nsSelfPing   = nsMUC + "#self-ping-optimization" // XEP-0410 §4
	nsConference = "jabber:x:conference"             // XEP-0249
	nsOccupantID = "urn:xmpp:occupant-id:0"          // XEP-0421
	nsStanzaID   = "urn:xmpp:sid:0"                  // XEP-0359
	nsHints      = "urn:xmpp:hints"                  // XEP-0334
	nsItems      = "http://jabber.org/protocol/disco#items"
	nsPing       = "urn:xmpp:ping"
)

// A role is what an occupant may do while it is in the room (XEP-0045 §5.1). Greater ones
// may do all that lesser ones may.
type role uint8

const (
	nobody role = iota
	visitor
	participant
	moderator
)

var roleNames = [...]string{"none", "visitor", "participant", "moderator"}

func (r role) String() string { return roleNames[r] }

func parseRole(s string) (role, bool) {
	for i, name := range roleNames {
		if s == name {
			return role(i), true
		}
	}
	return nobody, false
}

// An affiliation is what somebody is to a room, there or not (XEP-0045 §5.2).
type affiliation uint8

const (
	outcast affiliation = iota
	none
	member
	admin
	owner
)

var affiliationNames = [...]string{"outcast", "none", "member", "admin", "owner"}

func (a affiliation) String() string { return affiliationNames[a] }

func parseAffiliation(s string) (affiliation, bool) {
	for i, name := range affiliationNames {
		if s == name {
			return affiliation(i), true
		}
	}
	return none, false
}

// Status codes (XEP-0045 §16.6).
const (
	statusNonAnonymous = 100 // everybody sees the occupant's full JID
	statusConfig       = 104 // the configuration has changed, not its privacy
	statusSelf         = 110 // this is about who hears it
	statusLogged       = 170
	statusNotLogged    = 171
	statusNowNonAnon   = 172
	statusNowSemiAnon  = 173
	statusCreated      = 201
	statusBanned       = 301
	statusNewNick      = 303
	statusKicked       = 307
	statusAffiliation  = 321 // removed because of an affiliation
	statusMembersOnly  = 322 // removed because the room is for members now
	statusTechnical    = 333 // removed because of an error
)

func wrong(text string) error { return xmpp.Refuse("bad-request", text) }

package router

// fate is what becomes of a message for an account of this house.
type fate uint8

const (
	ignore fate = iota // silently
	refuse             // service-unavailable to the sender
	store              // keep it for later; refuse where nothing keeps messages
	all                // every available resource of non-negative priority
	one                // the resource it is addressed to
	away               // out of the house
)

func (f fate) String() string {
	return [...]string{"ignore", "refuse", "store", "all", "one", "away"}[f]
}

// situation is the left column of the table: which 'to', and who is there.
type situation uint8

const (
	noAccount    situation = iota // bare or full, the account does not exist
	bareNobody                    // bare, no available resource of non-negative priority
	bareSomebody                  // bare, at least one
	fullMatch                     // full, and that resource is connected
	goneNobody                    // full, that resource is not there, nor any other of non-negative priority
	goneSomebody                  // full, that resource is not there, others are
)

// rules is Table 1 of RFC 6121 §8.5.4, with the choices that it leaves made: what goes
// to a bare JID goes to all available resources of non-negative priority (modern clients
// show a conversation on every device); a full JID that is gone gets errors for normal
// and groupchat messages (a room elsewhere loses its ghost that way), silence for
// headlines, and chat is taken as if it were for the bare JID.
//
// An error never goes to a bare JID (§8.5.2.1.1) and is never answered.
var rules = [...][5]fate{
	//             normal  chat    groupchat headline error
	noAccount:    {refuse, refuse, refuse, ignore, ignore}, // §8.5.1
	bareNobody:   {store, store, refuse, ignore, ignore},   // §8.5.2.2.1
	bareSomebody: {all, all, refuse, all, ignore},          // §8.5.2.1.1
	fullMatch:    {one, one, one, one, one},                // §8.5.3.1
	goneNobody:   {refuse, store, refuse, ignore, ignore},  // §8.5.3.2.1
	goneSomebody: {refuse, all, refuse, ignore, ignore},    // §8.5.3.2.1
}

// column returns the column of a message type; an unknown or absent one is normal
// (RFC 6121 §5.2.2).
func column(typ string) int {
	switch typ {
	case "chat":
		return 1
	case "groupchat":
		return 2
	case "headline":
		return 3
	case "error":
		return 4
	}
	return 0
}

// fateOf looks a message up in the table. resources is the account's list (nil and exists
// false where there is no account); full is the resourcepart of 'to', "" if bare.
func fateOf(typ, full string, exists bool, resources []Resource) fate {
	s := noAccount
	if exists {
		s = situationOf(full, resources)
	}
	return rules[s][column(typ)]
}

func situationOf(full string, resources []Resource) situation {
	somebody := false
	for i := range resources {
		if full != "" && resources[i].JID().Resource() == full && !resources[i].deaf() {
			return fullMatch
		}
		somebody = somebody || resources[i].takes()
	}
	switch {
	case full == "" && somebody:
		return bareSomebody
	case full == "":
		return bareNobody
	case somebody:
		return goneSomebody
	}
	return goneNobody
}

package xmpp

import (
	"strings"
	"unicode"
)

// A UserAgent is what a client says of itself when it logs in (XEP-0388 §2.3). It is for
// the account's owner and the operator, and for nobody else.
type UserAgent struct {
	ID       string // of the installation, a UUID of version 4 in small letters; "" for none
	Software string // for people
	Device   string // for people
}

// maxAgentText is how many characters are kept of what a client calls itself or its device.
const maxAgentText = 100

// ParseUserAgent reads a <user-agent/>. An id that is no UUID of version 4 is none; names
// are cut behind 100 characters, and what cannot be printed is left out.
func ParseUserAgent(e Element) UserAgent {
	id := e.Attr("id")
	if id = strings.ToLower(id); !isUUID4(id) { // XEP-0388 §2.3
		id = ""
	}
	ns := e.Name().Space
	return UserAgent{ID: id, Software: line(e.ChildText(ns, "software")), Device: line(e.ChildText(ns, "device"))}
}

// isUUID4 knows the text form of a UUID whose version and variant are those of a random
// one.
func isUUID4(s string) bool {
	if len(s) != 36 || s[14] != '4' || strings.IndexByte("89ab", s[19]) < 0 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hex := s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'
		if hyphen && s[i] != '-' || !hyphen && !hex {
			return false
		}
	}
	return true
}

// line makes one printable line of a text: it is shown on terminals.
func line(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if !unicode.IsPrint(r) {
			continue
		}
		if n++; n > maxAgentText {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

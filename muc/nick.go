package muc

import (
	"golang.org/x/text/secure/precis"
)

// key is what makes two nicknames the same to people: width, case and space do not count
// (RFC 8266 §2.4).
func key(nick string) string {
	if k, err := precis.Nickname.CompareKey(nick); err == nil {
		return k
	}
	return nick
}

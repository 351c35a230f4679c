package muc

import (
	"strings"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// key is what makes two nicknames the same to people, as RFC 8266 has it: case, width and space
// do not count. Nor do marks that cannot be seen, nor from which alphabet a letter comes that
// looks the same in another one.
func key(nick string) string {
	k, err := precis.Nickname.CompareKey(nick)
	if err != nil {
		k = strings.ToLower(norm.NFKC.String(nick))
	}
	return norm.NFC.String(strings.Map(plain, norm.NFD.String(k)))
}

// plain returns the Latin letter or digit that a letter looks like; -1 for what cannot be seen.
func plain(r rune) rune {
	switch {
	case r < 0x80:
		if r == '0' {
			return 'o'
		}
		if r == '1' || r == 'i' || r == '|' {
			return 'l' // a capital I, too
		}
		return r
	case r == 0x00ad || r >= 0x200b && r <= 0x200f || r >= 0x2060 && r <= 0x2064 || r == 0xfeff || r >= 0xfe00 && r <= 0xfe0f:
		return -1
	}
	if i := strings.IndexRune(alike, r); i >= 0 {
		return plain(rune(latin[len([]rune(alike[:i]))]))
	}
	return r
}

// alike are letters of the Cyrillic, Greek and Armenian alphabets, in lower case, that are drawn
// like those of latin at the same place.
const (
	alike = "асԁеһіјӏорԛѕтѵԝхуԍвкмнг" + "αγικνορτυχω" + "օսհոցզ"
	latin = "acdehijlopqstvwxygbkmhr" + "ayiknoptuxw" + "ouhngq"
)

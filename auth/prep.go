package auth

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"

	"parley/xmpp"
)

// PasswordError says why a password cannot be used. It is the fault of whoever chose it.
type PasswordError struct{ Reason string }

func (e *PasswordError) Error() string { return "auth: " + e.Reason }

// preparePassword applies SASLprep (RFC 4013). stored says that the result is going to
// be kept, not compared: then code points that Unicode 3.2 does not know are refused
// (RFC 4013 §2.5), since a later Unicode may map them to something else.
func preparePassword(password string, stored bool) (string, error) {
	switch {
	case password == "":
		return "", &PasswordError{"the password is empty"}
	case len(password) > MaxPassword:
		return "", &PasswordError{fmt.Sprintf("the password is longer than %d bytes", MaxPassword)}
	case !utf8.ValidString(password):
		return "", &PasswordError{"the password is not valid UTF-8"}
	}
	p, err := saslprep(password, stored)
	switch {
	case err != nil:
		return "", &PasswordError{prepReason(err)}
	case p == "":
		return "", &PasswordError{"nothing is left of the password after SASLprep"}
	case len(p) > MaxPassword:
		return "", &PasswordError{fmt.Sprintf("the password is longer than %d bytes after SASLprep", MaxPassword)}
	}
	return p, nil
}

func prepReason(err error) string {
	var p stringprep.Error
	if errors.As(err, &p) && p.Rune != 0 {
		return fmt.Sprintf("the password has the character U+%04X, which SASLprep does not allow", p.Rune)
	}
	return "SASLprep does not allow the password: " + err.Error()
}

// saslprep prepares a user name or a password (RFC 4013 §2). What is printable ASCII is
// prepared already.
func saslprep(s string, stored bool) (string, error) {
	if printable(s) {
		return s, nil
	}
	p := stringprep.SASLprep
	if !stored {
		// A query may have unassigned code points (RFC 3454 §7). The library's profile
		// forbids them with its first table, and has no other way to let them pass.
		p.Prohibits = p.Prohibits[1:]
	}
	return p.Prepare(s)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
	}
	return true
}

// accountOf returns the address that a simple user name means at host (RFC 6120
// §6.3.7): SASLprep first (RFC 5802 §5.1), then the rules of a localpart.
func accountOf(name, host string) (xmpp.JID, error) {
	if name == "" {
		return xmpp.JID{}, errors.New("auth: empty user name")
	}
	p, err := saslprep(name, false)
	if err != nil {
		return xmpp.JID{}, err
	}
	if p == "" {
		return xmpp.JID{}, errors.New("auth: nothing is left of the user name after SASLprep")
	}
	return xmpp.NewJID(p, host, "")
}

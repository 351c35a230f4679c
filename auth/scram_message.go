package auth

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// clientFirst is the client-first-message (RFC 5802 §7).
type clientFirst struct {
	header  string // the gs2-header as it came, with its last comma
	flag    byte   // n, y or p
	binding string // the cb-name after "p="
	authzid string
	bare    string // the client-first-message-bare as it came
	name    string
	nonce   string
}

// parseClientFirst reads the first message. The error is a *Failure.
func parseClientFirst(msg string) (m clientFirst, err error) {
	if !isText(msg) {
		return m, malformed("a SCRAM message that is not text")
	}
	flag, rest, ok := strings.Cut(msg, ",")
	if !ok || !m.readFlag(flag) {
		return m, malformed("no gs2-cbind-flag")
	}
	authzid, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return m, malformed("no gs2-header")
	}
	if authzid != "" {
		if m.authzid, ok = saslname(authzid, "a="); !ok {
			return m, malformed("a bad authzid")
		}
	}
	m.header, m.bare = msg[:len(msg)-len(bare)], bare
	return m, m.readBare()
}

func (m *clientFirst) readFlag(flag string) bool {
	if name, ok := strings.CutPrefix(flag, "p="); ok {
		m.flag, m.binding = 'p', name
		return isBindingName(name)
	}
	if flag != "n" && flag != "y" {
		return false
	}
	m.flag = flag[0]
	return true
}

func (m *clientFirst) readBare() error {
	if strings.HasPrefix(m.bare, "m=") {
		return notUnderstood()
	}
	name, rest, ok := strings.Cut(m.bare, ",")
	if !ok {
		return malformed("no nonce")
	}
	if m.name, ok = saslname(name, "n="); !ok {
		return malformed("a bad user name")
	}
	nonce, extensions, more := strings.Cut(rest, ",")
	if m.nonce, ok = strings.CutPrefix(nonce, "r="); !ok || !isNonce(m.nonce) {
		return malformed("a bad nonce")
	}
	if more {
		return checkExtensions(extensions)
	}
	return nil
}

// clientFinal is the client-final-message (RFC 5802 §7).
type clientFinal struct {
	unproved string // the client-final-message-without-proof as it came
	binding  string // c=, still in base64: it is compared byte for byte
	nonce    string
	proof    []byte
}

// parseClientFinal reads the second message. The error is a *Failure.
func parseClientFinal(msg string) (m clientFinal, err error) {
	if !isText(msg) {
		return m, malformed("a SCRAM message that is not text")
	}
	at := strings.LastIndexByte(msg, ',') // base64 has no comma
	if at < 0 {
		return m, malformed("no proof")
	}
	proof, ok := strings.CutPrefix(msg[at+1:], "p=")
	if !ok {
		return m, malformed("no proof")
	}
	if m.proof, err = base64.StdEncoding.Strict().DecodeString(proof); err != nil || strings.ContainsAny(proof, "\r\n") {
		return m, malformed("a proof that is not base64")
	}
	m.unproved = msg[:at]
	binding, rest, ok := strings.Cut(m.unproved, ",")
	if strings.HasPrefix(binding, "m=") {
		return m, notUnderstood()
	}
	if m.binding, ok = cutAttribute(binding, "c=", ok); !ok {
		return m, malformed("no channel binding")
	}
	nonce, extensions, more := strings.Cut(rest, ",")
	if m.nonce, ok = cutAttribute(nonce, "r=", true); !ok {
		return m, malformed("no nonce")
	}
	if more {
		return m, checkExtensions(extensions)
	}
	return m, nil
}

func cutAttribute(s, prefix string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	return strings.CutPrefix(s, prefix)
}

// checkExtensions lets unknown extensions pass, and no mandatory one (RFC 5802 §5.1).
func checkExtensions(s string) error {
	for more := true; more; {
		var e string
		e, s, more = strings.Cut(s, ",")
		if len(e) < 3 || !isLetter(e[0]) || e[1] != '=' {
			return malformed("a bad extension")
		}
		if e[0] == 'm' {
			return notUnderstood()
		}
	}
	return nil
}

// notUnderstood answers a mandatory extension: there is none that we know (RFC 5802 §5.1).
func notUnderstood() *Failure {
	return &Failure{Condition: NotAuthorized, Text: "extensions-not-supported", Cause: cause("SCRAM attribute m=")}
}

// saslname decodes an attribute whose value is a saslname (RFC 5802 §7).
func saslname(attr, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(attr, prefix)
	if !ok || s == "" {
		return "", false
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		out.WriteString(before)
		switch {
		case !found:
			return out.String(), true
		case strings.HasPrefix(after, "2C"):
			out.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			out.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// isText: UTF-8 without NUL, which is all that value-char allows (RFC 5802 §7).
func isText(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

// isNonce: printable (RFC 5802 §7), which has no comma.
func isNonce(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E || s[i] == ',' {
			return false
		}
	}
	return s != "" && len(s) <= MaxNonce
}

// isBindingName: cb-name (RFC 5802 §7).
func isBindingName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

package xmpp

import (
	"bytes"
	"strconv"
	"strings"
)

func isSpace(c byte) bool      { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isTagNameEnd(c byte) bool { return isSpace(c) || c == '>' || c == '/' }

// unescape resolves references and normalises line ends (XML 1.0 §2.11), in attributes
// all white space (§3.3.3).
func unescape(b []byte, attr bool) string {
	if bytes.IndexByte(b, '&') < 0 && bytes.IndexByte(b, '\r') < 0 &&
		!(attr && bytes.ContainsAny(b, "\t\n")) {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '&':
			n := bytes.IndexByte(b[i:], ';')
			out = appendReference(out, string(b[i+1:i+n]))
			i += n
		case c == '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
			out = append(out, newline(attr))
		case c == '\n' || c == '\t' && attr:
			if c == '\t' {
				c = ' '
			} else {
				c = newline(attr)
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func newline(attr bool) byte {
	if attr {
		return ' '
	}
	return '\n'
}

func normaliseNewlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// appendReference writes what &name; stands for. It is one of those a scanner let pass.
func appendReference(dst []byte, name string) []byte {
	switch name {
	case "amp":
		return append(dst, '&')
	case "lt":
		return append(dst, '<')
	case "gt":
		return append(dst, '>')
	case "apos":
		return append(dst, '\'')
	case "quot":
		return append(dst, '"')
	}
	base := 10
	digits := strings.TrimPrefix(name, "#")
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n, _ := strconv.ParseUint(digits, base, 32)
	return append(dst, string(rune(n))...)
}

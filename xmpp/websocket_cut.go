package xmpp

import "bytes"

// tagEnd returns where the tag that begins at i ends: a > in an attribute's value is none.
func tagEnd(p []byte, i int) int {
	for i++; i < len(p); i++ {
		switch c := p[i]; c {
		case '>':
			return i
		case '"', '\'':
			n := bytes.IndexByte(p[i+1:], c)
			if n < 0 {
				return len(p)
			}
			i += 1 + n
		}
	}
	return len(p)
}

var cdataClose = []byte("]]>")

// cdataEnd returns the last byte of the CDATA section that begins at i.
func cdataEnd(p []byte, i int) int {
	n := bytes.Index(p[i:], cdataClose)
	if n < 0 {
		return len(p)
	}
	return i + n + len(cdataClose) - 1
}

// ElementLen returns how long the first element of p is, which is XML of ours: well-formed,
// without comments, and whole. CDATA sections may be in what was received and is passed on.
func ElementLen(p []byte) int {
	depth := 0
	for i := 0; i < len(p); i++ {
		if p[i] != '<' || i+1 == len(p) {
			continue
		}
		switch p[i+1] {
		case '!':
			i = cdataEnd(p, i)
		case '/':
			depth--
			i = tagEnd(p, i)
		default:
			if i = tagEnd(p, i); i < len(p) && p[i-1] != '/' {
				depth++
			}
		}
		if depth == 0 {
			return min(i+1, len(p))
		}
	}
	return len(p)
}

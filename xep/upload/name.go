package upload

import (
	"mime"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fallback is what a file is called whose name says nothing.
const fallback = "file"

// cleanName makes of what a client calls a file one segment of a path that can be shown to
// people: no directories, nothing that is not seen and changes what is, and not too long. The
// ending stays what it was (XEP-0363 §4).
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			return -1
		case r == '/' || r == '\\':
			return '_'
		}
		return r
	}, s)
	s = shorten(strings.TrimSpace(s))
	if strings.Trim(s, ". ") == "" {
		return fallback
	}
	return s
}

// maxEnding is how long an ending may be to be kept when a name is cut, in bytes.
const maxEnding = 24

// shorten cuts a name in front of its ending.
func shorten(s string) string {
	if len(s) <= maxName {
		return s
	}
	ending := path.Ext(s)
	if len(ending) > maxEnding {
		ending = ""
	}
	n := maxName - len(ending)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ending
}

// place is where a file is put and got, below the listener's address (RFC 3986).
func place(id, name string) string { return "/upload/" + id + "/" + url.PathEscape(name) }

// cleanType returns a content type in one form; ok is false where it is none. "" is "".
func cleanType(s string) (typ string, ok bool) {
	if s == "" {
		return "", true
	}
	if len(s) > maxType {
		return "", false
	}
	t, params, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(t, "/") {
		return "", false
	}
	typ = mime.FormatMediaType(t, params)
	return typ, typ != "" && len(typ) <= maxType
}

// anyBytes is the content type of a file of which nothing else was said.
const anyBytes = "application/octet-stream"

// sameType compares content types without their parameters.
func sameType(a, b string) bool {
	a, _, _ = strings.Cut(a, ";")
	b, _, _ = strings.Cut(b, ";")
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

// shown reports whether a browser may show a file of a type in a page of its own. What can have
// scripts, as SVG, is none of them.
func shown(typ string) bool {
	t, _, _ := strings.Cut(typ, ";")
	switch t = strings.TrimSpace(t); t {
	case "image/jpeg", "image/png", "image/apng", "image/gif", "image/webp", "image/avif", "image/heic", "image/heif", "image/bmp", "image/jxl",
		"audio/mpeg", "audio/mp4", "audio/x-m4a", "audio/aac", "audio/ogg", "audio/opus", "audio/webm", "audio/wav", "audio/x-wav", "audio/flac", "audio/amr", "audio/3gpp",
		"video/mp4", "video/webm", "video/ogg", "video/quicktime", "video/3gpp", "video/x-matroska", "video/mpeg":
		return true
	}
	return false
}

// disposition says what to do with a file and what to call it: in ASCII for those who know
// nothing else, and as it is (RFC 6266, RFC 8187).
func disposition(typ, name string) string {
	how := "attachment"
	if shown(typ) {
		how = "inline"
	}
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	out := how + `; filename="` + plain + `"`
	if plain != name {
		out += "; filename*=UTF-8''" + extended(name)
	}
	return out
}

// extended is the value-chars of RFC 8187: all but attr-char is percent-encoded.
func extended(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

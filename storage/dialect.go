package storage

import (
	"errors"
	"strings"
)

// numbered turns $1 into ?1, outside strings, names and comments. To SQLite $2 is a name,
// and names are numbered as they come: with $2 before $1 the values would change places.
// It refuses a second statement, which the driver would leave out without a word.
func numbered(text string) (string, error) {
	out := []byte(text)
	for i := 0; i < len(text); {
		next := skip(text, i)
		switch {
		case next > i:
			i = next
			continue
		case text[i] == ';' && strings.TrimSpace(text[i+1:]) != "":
			return "", errors.New("one statement at a time, please")
		case text[i] == '$' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			out[i] = '?'
		}
		i++
	}
	return string(out), nil
}

// skip returns where the string, quoted name or comment that begins at i ends; i if none
// begins there.
func skip(text string, i int) int {
	switch c := text[i]; {
	case c == '\'' || c == '"' || c == '`':
		return after(text, i+1, text[i:i+1])
	case c == '[':
		return after(text, i+1, "]")
	case strings.HasPrefix(text[i:], "--"):
		return after(text, i+2, "\n")
	case strings.HasPrefix(text[i:], "/*"):
		return after(text, i+2, "*/")
	}
	return i
}

// after returns where text goes on behind the next end.
func after(text string, from int, end string) int {
	if n := strings.Index(text[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(text)
}

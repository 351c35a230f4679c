package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A configError is a mistake in the configuration: which file, which line, what to do.
type configError struct {
	file string
	line int // 0 if unknown
	text string
}

func (e *configError) Error() string {
	switch {
	case e.file == "":
		return e.text
	case e.line == 0:
		return e.file + ": " + e.text
	}
	return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.text)
}

// loadConfig reads the file (none if the name is empty), then the environment, and checks
// the result. Its error is a *configError, which says where the mistake stands: in a line
// of the file or in a variable.
func loadConfig(file string, environ []string) (Config, error) {
	cfg := defaults()
	text := ""
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return cfg, &configError{text: fmt.Sprintf("the configuration cannot be read: %v", err)}
		}
		text = string(raw)
		if err := parseConfig(file, text, &cfg); err != nil {
			return cfg, err
		}
	}
	from, err := applyEnvironment(&cfg, environ)
	if err != nil {
		return cfg, err
	}
	if wrong := checkConfig(&cfg); wrong != nil {
		return cfg, wrong.at(file, text, from)
	}
	return cfg, nil
}

func parseConfig(file, text string, cfg *Config) error {
	meta, err := toml.Decode(text, cfg)
	if err != nil {
		return decodeError(file, err)
	}
	unknown := meta.Undecoded()
	if len(unknown) == 0 {
		return nil
	}
	e := &configError{file, lineOf(text, unknown[0]), fmt.Sprintf("there is no key %q", plainKey(unknown[0]))}
	if table, ok := unquoted(text, e.line); ok {
		e.text += "; a name with dots is written in quotes: " + table
	} else if near := meant(unknown[0]); near != "" {
		e.text += fmt.Sprintf("; did you mean %q?", near)
	}
	return e
}

// dotted is the head of a table in one that is named by people, without quotes around a name
// that has dots: TOML takes it for tables in tables.
var dotted = regexp.MustCompile(`^\s*\[\s*(\w+)\.([\w-]+(?:\.[\w-]+)+)\s*\]`)

// unquoted returns how the table that a line is in should be written, if that is what is wrong
// with it.
func unquoted(text string, line int) (table string, ok bool) {
	lines := strings.Split(text, "\n")
	for i := min(line, len(lines)) - 1; i >= 0; i-- {
		if m := dotted.FindStringSubmatch(lines[i]); m != nil {
			return fmt.Sprintf("[%s.%q]", m[1], m[2]), true
		}
		if strings.HasPrefix(strings.TrimSpace(lines[i]), "[") {
			break
		}
	}
	return "", false
}

// located is how the decoder writes where a value of the wrong type stands.
var located = regexp.MustCompile(`^(?:line (\d+) )?\(last key "([^"]*)"\): (.*)$`)

// mismatch is what it says of such a value.
var mismatch = regexp.MustCompile(`^incompatible types: TOML value has type (\S+); destination has type (\S+)$`)

// noTable is what it says where a table is wanted and there is none.
var noTable = regexp.MustCompile(`^type mismatch for \S+: expected table but found (\S+)$`)

// decodeError puts what the decoder found into the words of the other errors.
func decodeError(file string, err error) error {
	var p toml.ParseError
	if errors.As(err, &p) {
		e := &configError{file, p.Position.Line, p.Message}
		if p.LastKey != "" {
			e.text = p.LastKey + ": " + p.Message
		}
		return e
	}
	e := &configError{file: file, text: strings.TrimPrefix(err.Error(), "toml: ")}
	if m := located.FindStringSubmatch(e.text); m != nil {
		e.line, _ = strconv.Atoi(m[1])
		what := m[3]
		if t := mismatch.FindStringSubmatch(what); t != nil {
			what = fmt.Sprintf("this must be %s, not %s", typeName(t[2]), typeName(t[1]))
		} else if t := noTable.FindStringSubmatch(what); t != nil {
			what = "this must be a table, not " + typeName(t[1])
		}
		e.text = m[2] + ": " + what
	}
	return e
}

// typeName is what people call one of the decoder's types.
func typeName(t string) string {
	switch t {
	case "integer", "int64", "int":
		return "a whole number"
	case "float", "float64":
		return "a number with a fraction"
	case "string":
		return `a text in quotes ("...")`
	case "boolean", "bool":
		return "true or false"
	case "slice", "array", "[]any", "[]interface":
		return `a list (["...", "..."])`
	case "map", "table":
		return "a table"
	}
	return "a " + t
}

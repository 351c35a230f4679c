package main

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// writeExample prints a configuration file in which every key stands with its
// explanation and, commented out, its default. It is made from the Config type, so it
// cannot be out of date.
func writeExample(w io.Writer) {
	fmt.Fprint(w, "# Parley's configuration. Every key is here with its default; a line that is commented\n# out changes nothing. Keys marked * are read again on SIGHUP (parley reload).\n")
	cfg := defaults()
	writeKeys(w, reflect.ValueOf(cfg))
	for f := range fields(reflect.TypeFor[Config]()) {
		v := reflect.ValueOf(cfg).FieldByIndex(f.Index)
		name := f.Tag.Get("toml")
		switch f.Type.Kind() {
		case reflect.Struct:
			fmt.Fprintf(w, "\n\n%s\n[%s]\n", comment(f.Tag.Get("doc")), name)
			writeKeys(w, v)
		case reflect.Map:
			fmt.Fprintf(w, "\n\n%s\n%s", comment(mark(f)+f.Tag.Get("doc")), exampleTable[name])
		}
	}
}

// exampleTable shows the tables whose keys the operator chooses.
var exampleTable = map[string]string{
	"contact":           "[contact]\n# abuse = [\"mailto:abuse@example.org\", \"xmpp:admin@example.org\"]\n",
	"shared_groups":     "# [shared_groups.\"Support\"]\n# members = [\"juliet@example.org\", \"romeo@example.org\"]\n# shown_to = [\"@example.org\"]\n",
	"archive_domains":   "# [archive_domains.\"example.org\"]\n# default = \"roster\"\n# retention = \"720h\"\n",
	"rooms_domains":     "# [rooms_domains.\"example.org\"]\n# create = \"local\"\n# kind = \"public\"\n# defaults = [\"hidden\"]\n# max = 1000\n# max_occupants = 500\n",
	"s2s_domains":       "# [s2s_domains.\"partner.example\"]\n# require_certificate = true\n# route = [\"10.0.0.7:5269\"]\n",
	"component":         "# [component.\"irc.example.org\"]\n# secret = \"a long and random text\"\n# name = \"IRC\"\n# hidden = false\n# wildcard = false\n# roster = \"none\"\n# message = \"none\"\n# presence = \"none\"\n# iq = [\"urn:example:thing=get\"]\n# delegate = [\"urn:example:thing\"]\n",
	"external_services": "# [external_services.\"Relay\"]\n# type = \"turn\"\n# host = \"turn.example.org\"\n# port = 3478\n# transport = \"udp\"\n# secret = \"a long and random text\"\n# lifetime = \"12h\"\n",
	"certificates":      "# [certificates.\"example.org\"]\n# cert = \"/etc/parley/example.org.pem\"\n# key = \"/etc/parley/example.org.key\"\n",
}

func writeKeys(w io.Writer, v reflect.Value) {
	for f := range fields(v.Type()) {
		kind := f.Type.Kind()
		if kind == reflect.Map || kind == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
			continue
		}
		fmt.Fprintf(w, "\n%s\n# %s = %s\n", comment(mark(f)+f.Tag.Get("doc")), f.Tag.Get("toml"), tomlValue(v.FieldByIndex(f.Index)))
	}
}

// mark shows which keys a reload reads again.
func mark(f reflect.StructField) string {
	if f.Tag.Get("reload") != "" {
		return "* "
	}
	return ""
}

func tomlValue(v reflect.Value) string {
	if d, ok := v.Interface().(Duration); ok {
		return fmt.Sprintf("%q", shortDuration(d.Duration))
	}
	var b strings.Builder
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]"
	}
	if s, ok := v.Interface().(Secret); ok {
		return strconv.Quote(string(s)) // of the defaults, which have none
	}
	toml.NewEncoder(&b).Encode(map[string]any{"v": v.Interface()})
	_, value, _ := strings.Cut(strings.TrimSpace(b.String()), "= ")
	return value
}

// comment breaks a text into comment lines.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 92 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line
}

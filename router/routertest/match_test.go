package routertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/xmpp"
)

func TestMatch(t *testing.T) {
	st, err := xmpp.ParseStanza(`<message to='juliet@example.com' from='romeo@example.com/x' type='chat' id='7'><body>Good night</body><x xmlns='test' a='1'><y/></x></message>`)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, same := range map[string]bool{
		`<message type='chat'><body>Good night</body><x xmlns='test' a='1'><y/></x></message>`:                           true,
		`<message type='chat' from='romeo@example.com/*' id='*'><body>Good*</body><x xmlns='test' a='*'>…</x></message>`: true,
		`<message type='chat'>…</message>`:                                                                      true,
		`<message type='chat'><body>* ni*t</body>…</message>`:                                                   true,
		`<message type='chat'>…<x xmlns='test' a='1'>…</x></message>`:                                           true,
		`<message type='chat'>…<x xmlns='test' a='2'/>…</message>`:                                              false,
		`<message type='chat'>…<body>…</body></message>`:                                                        false, // too much behind
		`<message>…</message>`:                                                                                  false, // a type
		`<presence type='chat'>…</presence>`:                                                                    false,
		`<message type='chat' from='romeo@example.com/y'>…</message>`:                                           false,
		`<message type='chat'>…<x xmlns='test' a='**' b='**'>…</x></message>`:                                   true,
		`<message type='chat'>…<x xmlns='test' a='2**' b='**'>…</x></message>`:                                  false,
		`<message type='chat' id=''>…</message>`:                                                                false,
		`<message type='chat' lang='*'>…</message>`:                                                             false, // not there
		`<message type='chat'><body>Good night</body></message>`:                                                false, // too much
		`<message type='chat'><body>Good night</body><x xmlns='test' a='1'><y/></x><z xmlns='test'/></message>`: false, // too little
		`<message type='chat'><x xmlns='test' a='1'><y/></x><body>Good night</body></message>`:                  false, // order
		`<message type='chat'><body>Good night</body><x xmlns='other' a='1'><y/></x></message>`:                 false,
		`<message type='chat'><body>Good night</body><x xmlns='test'><y/></x></message>`:                        false, // an attribute more
		`<message type='chat'><body>Good night</body><x xmlns='test' a='1' b='2'><y/></x></message>`:            false,
		`<message type='chat'><body>Good</body><x xmlns='test' a='1'><y/></x></message>`:                        false,
		`<message type='chat'><body/><x xmlns='test' a='1'><y/></x></message>`:                                  false,
		`<message type='chat'>`:                        false,
		`<message type='chat'/><message type='chat'/>`: false,
	} {
		if why := Match(pattern, st); (why == "") != same {
			t.Errorf("%s: %q", pattern, why)
		}
	}
}

func TestTalksAreRead(t *testing.T) {
	lines, err := readTalk("# a comment\n\nromeo online\nromeo: <message>\n   <body/>\n  </message>\nromeo/desk hears nothing\n")
	if err != nil || len(lines) != 3 || lines[1].arg != "<message>\n<body/>\n</message>" || lines[2].who != "romeo/desk" || lines[2].number != 7 {
		t.Errorf("%v %+v", err, lines)
	}
	for _, wrong := range []string{"", "# only this\n", "romeo sleeps\n", "  <message/>\n", "romeo  hears nothing\n"} {
		if lines, err := readTalk(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, lines)
		}
	}
}

// Whatever is in the conversations can be read, also of those that are played elsewhere.
func TestEveryTalkIsRead(t *testing.T) {
	files, err := filepath.Glob("../../testdata/talk/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := readTalk(string(text))
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		there := map[string]bool{}
		for _, l := range lines {
			if l.verb == "online" || l.verb == "connected" || l.verb == "away" {
				there[l.who] = l.verb != "away"
			} else if !there[l.who] {
				t.Errorf("%s:%d: %s is not there", filepath.Base(file), l.number, l.who)
			}
			if !strings.HasPrefix(l.arg, "<") {
				continue
			}
			if _, err := parse(l.arg); err != nil {
				t.Errorf("%s:%d: %v", filepath.Base(file), l.number, err)
			}
		}
	}
}

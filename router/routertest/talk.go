package routertest

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"parley/xmpp"
)

// Play plays the conversation in a file with these people. A conversation is text; lines
// that begin with '#' are comments. Somebody is named by an account of example.com and a
// resource, "home" if none is written: romeo, romeo/desk, tybalt@example.net/desk.
//
//	romeo online               logs in and sends presence, of which it hears nothing itself
//	romeo online priority -1   the same with a priority
//	romeo connected            logs in and sends no presence
//	romeo away                 leaves if it is there; the account exists in any case
//	romeo: <stanza/>           sends a stanza, which may go on over further lines
//	romeo hears <pattern/>     its next stanza is like this (see Match)
//	romeo hears nothing        nothing more has come for it
//	romeo answers <content/>   answers the last request that it heard, with this result
//	romeo forgets              whatever has come for it is of no interest
//	romeo ends: condition      its stream was ended with this stream error
//
// An attribute of a pattern whose value is $name stands for anything; from then on $name is
// that value, in what is sent and heard by anybody.
//
// An account that the conversation never brings in does not exist. At the end everybody
// must have heard everything.
func Play(t testing.TB, file string, people People) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := readTalk(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	p := &player{people: people, actors: map[string]*Actor{}, values: map[string]string{}, place: place{TB: t, file: file}}
	for _, l := range lines {
		p.line = l.number
		p.play(l)
	}
	for _, name := range p.order {
		p.what = name + " hears nothing at the end"
		p.actors[name].GetsNothing()
	}
	for _, name := range p.order {
		if a := p.actors[name]; a.Ended() == "" {
			a.Leaves()
		}
	}
}

// A place is a test that says where in a conversation it failed.
type place struct {
	testing.TB
	file, what string
	line       int
}

// Fatalf implements testing.TB.
func (t *place) Fatalf(format string, args ...any) {
	t.TB.Helper()
	t.TB.Fatalf("%s:%d: %s: %s", t.file, t.line, t.what, fmt.Sprintf(format, args...))
}

type player struct {
	place
	people People
	actors map[string]*Actor
	order  []string          // of those who are there
	values map[string]string // of names, as they stand in XML
}

// talkLine is one line of a conversation: who, what, and the stanza with it.
type talkLine struct {
	number         int
	who, verb, arg string
}

var talkStart = regexp.MustCompile(`^([a-z0-9.@-]+(?:/[A-Za-z0-9]+)?)(:| online\b| connected$| away$| hears\b| answers\b| forgets$| ends:)(.*)$`)

func readTalk(text string) (lines []talkLine, err error) {
	for i, s := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(s)
		if trimmed == "" || strings.HasPrefix(s, "#") {
			continue
		}
		if m := talkStart.FindStringSubmatch(s); m != nil {
			lines = append(lines, talkLine{i + 1, m[1], strings.TrimSpace(m[2]), strings.TrimSpace(m[3])})
			continue
		}
		n := len(lines) - 1
		if s == trimmed || n < 0 {
			return nil, fmt.Errorf("line %d is not understood: %s", i+1, s)
		}
		lines[n].arg = strings.TrimSpace(lines[n].arg + "\n" + trimmed)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	return lines, nil
}

func (p *player) play(l talkLine) {
	p.Helper()
	p.what = l.who + " " + l.verb + " " + strings.SplitN(l.arg, "\n", 2)[0]
	switch l.verb {
	case "online", "connected":
		p.connect(l)
		return
	case "away":
		p.away(l.who)
		return
	}
	a := p.actors[l.who]
	if a == nil {
		p.Fatalf("%s is not there", l.who)
	}
	l.arg = p.known(l.arg)
	switch {
	case l.verb == ":":
		a.Sends(l.arg)
	case l.verb == "answers":
		a.Answers(l.arg)
	case l.verb == "forgets":
		a.Forgets()
	case l.verb == "ends:":
		a.IsEnded(l.arg)
	case l.arg == "nothing":
		a.GetsNothing()
	default:
		p.learn(l.arg, a.Gets(unknown.ReplaceAllString(l.arg, "$1='*'")))
	}
}

// unknown is an attribute whose value is a name, and name is one anywhere.
var (
	unknown = regexp.MustCompile(`([a-z]+)='\$([a-z]+)'`)
	name    = regexp.MustCompile(`\$[a-z]+`)
)

// known puts the values of names in their places, as far as they are known.
func (p *player) known(text string) string {
	return name.ReplaceAllStringFunc(text, func(n string) string {
		if v, ok := p.values[n[1:]]; ok {
			return v
		}
		return n
	})
}

// learn takes the values of names from what was heard and is like the pattern.
func (p *player) learn(pattern string, st *xmpp.Stanza) {
	p.Helper()
	want, err := parse(pattern)
	if err != nil {
		p.Fatalf("%v", err)
	}
	got, err := parse(st.String())
	if err != nil {
		p.Fatalf("%v", err)
	}
	want.bind(got, p.values)
}

// address returns the full JID of somebody.
func (p *player) address(who string) xmpp.JID {
	p.Helper()
	bare, resource, _ := strings.Cut(who, "/")
	if !strings.Contains(bare, "@") {
		bare += "@example.com"
	}
	if resource == "" {
		resource = "home"
	}
	return mustJID(p, bare+"/"+resource)
}

func (p *player) connect(l talkLine) {
	p.Helper()
	jid := p.address(l.who)
	p.people.Exists(jid.Bare())
	a := &Actor{t: p, jid: jid, Person: p.people.Connect(jid)}
	if p.actors[l.who] == nil {
		p.order = append(p.order, l.who)
	}
	p.actors[l.who] = a
	if l.verb == "connected" {
		return
	}
	presence := "<presence/>"
	if l.arg != "" {
		prio, ok := strings.CutPrefix(l.arg, "priority ")
		if _, err := strconv.ParseInt(prio, 10, 8); !ok || err != nil {
			p.Fatalf("online is followed by nothing or by a priority")
		}
		presence = "<presence><priority>" + prio + "</priority></presence>"
	}
	a.Comes(presence)
}

func (p *player) away(who string) {
	p.Helper()
	p.people.Exists(p.address(who).Bare())
	a := p.actors[who]
	if a == nil {
		return
	}
	a.GetsNothing() // what it has not heard would be lost
	a.Leaves()
	delete(p.actors, who)
	for i, name := range p.order {
		if name == who {
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
}

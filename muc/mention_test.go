package muc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/xmpp"
)

// TestCalled: a nickname counts as whole words, in any case, with anything between the words.
func TestCalled(t *testing.T) {
	juliet := xmpp.MustJID("juliet@example.com")
	for _, c := range []struct {
		nick, text string
		want       bool
	}{
		{"Juliet", "Juliet", true},
		{"Juliet", "@juliet: come", true},
		{"Juliet", "it is (JULIET)!", true},
		{"Juliet", "juliet's", true},
		{"Juliet", "juliets", false},
		{"Juliet", "my.juliet@example.com", true},
		{"Juliet", "", false},
		{"Juliet Capulet", "juliet, capulet", true},
		{"Juliet Capulet", "juliet\ncapulet", true},
		{"Juliet Capulet", "juliet", false},
		{"Juliet Capulet", "juliet of capulet", false},
		{"Juliet Capulet", "capulet juliet", false},
		{"j.c_2", "ask J.C_2 then", true},
		{"Zoë", "zoe\u0308?", true}, // the same letter, written otherwise
		{"Élodie", "éLODIE", true},
		{"ЮЛИЯ", "Юлия, привет", true},
		{"朱丽叶", "@朱丽叶 来", true},
		{"朱丽叶", "朱丽叶来", false}, // one word, as it is written
		{"J", "j is a letter", false},
		{"🌹", "🌹", false},
		{"a b c d e f", "a b c d e f", true},
		{"a b c d e f g", "a b c d e f g", false}, // too long to be looked for
	} {
		a := &absentees{names: map[string][]name{}}
		a.call(c.nick, juliet)
		if got := slices.Contains(a.called(c.text), juliet); got != c.want {
			t.Errorf("%q in %q: %v", c.nick, c.text, got)
		}
	}
}

// TestMentionAmongMany: a text is gone through once, however many may be mentioned in it.
func TestMentionAmongMany(t *testing.T) {
	text := strings.Repeat("word ", 50) + "user 7777, " + strings.Repeat("word ", 50)
	costs := func(members int) float64 {
		a := &absentees{names: map[string][]name{}}
		for i := range members {
			a.call(fmt.Sprintf("u%d x", i), xmpp.MustJID(fmt.Sprintf("user%d@example.com", i)))
		}
		a.call("User 7777", xmpp.MustJID("user7777@example.com"))
		if got := a.called(text); len(got) != 1 || got[0].Local() != "user7777" {
			t.Fatalf("%v", got)
		}
		return testing.AllocsPerRun(20, func() { a.called(text) })
	}
	if few, many := costs(10), costs(10_000); many > few {
		t.Errorf("%.0f allocations among 10,000, %.0f among 10", many, few)
	}
	if n := len(wordsOf(strings.Repeat("x ", 100_000), maxWords)); n != maxWords {
		t.Errorf("%d words are looked at", n)
	}
}

package muc

import "testing"

func TestKey(t *testing.T) {
	if n := len([]rune(alike)); n != len(latin) {
		t.Fatalf("%d letters, and %d that they look like", n, len(latin))
	}
	for _, same := range [][2]string{
		{"Juliet", "juliet"}, {"Juliet", "Ｊuliet"}, {"Juliet", "Jul\u200biet"}, {"Juliet", "Julіet"},
		{"Romeo", "Rоmeо"}, {"Paul", "PauI"}, {"Bob", "B0b"}, {"Capulet ", "capulet"}, {"Zoë", "Zoe\u0308"},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%q (%q) and %q (%q) look the same", same[0], key(same[0]), same[1], key(same[1]))
		}
	}
	for _, differ := range [][2]string{{"Romeo", "Juliet"}, {"Zoe", "Zoë"}, {"a", "b"}, {"Nurse", "Nurses"}, {"Анна", "Ольга"}} {
		if key(differ[0]) == key(differ[1]) {
			t.Errorf("%q and %q are taken for the same: %q", differ[0], differ[1], key(differ[0]))
		}
	}
}

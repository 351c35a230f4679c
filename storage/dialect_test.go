package storage

import (
	"strings"
	"testing"
)

func TestNumbered(t *testing.T) {
	for text, want := range map[string]string{
		"select $1, $22":                  "select ?1, ?22",
		"select '$1', \"$1\", `$1`, [$1]": "select '$1', \"$1\", `$1`, [$1]",
		"select 'it''s $1' || $1":         "select 'it''s $1' || ?1",
		"select 1 -- $1\n, $2":            "select 1 -- $1\n, ?2",
		"select /* $1 ; */ $2 ;  ":        "select /* $1 ; */ ?2 ;  ",
		"select $$, $a, '":                "select $$, $a, '",
		"select ';'; -- $1":               "",
		"delete from a; delete from b":    "",
	} {
		got, err := numbered(text)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzNumbered(f *testing.F) {
	f.Add("select '$1', $2 -- $3")
	f.Add("[$1 /* `")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := numbered(text)
		if err != nil {
			return
		}
		if len(got) != len(text) {
			t.Fatalf("%q became %q", text, got)
		}
		for i := range text {
			if got[i] != text[i] && (text[i] != '$' || got[i] != '?') {
				t.Fatalf("%q became %q", text, got)
			}
		}
		again, err := numbered(got)
		if err != nil || again != got {
			t.Fatalf("%q became %q, %v", got, again, err)
		}
	})
}

func TestControl(t *testing.T) {
	for _, q := range []string{"commit", " COMMIT;", "begin immediate", "\nsavepoint x", "vacuum into 'x'"} {
		if !isControl(q) {
			t.Errorf("%q would pass", q)
		}
	}
	if q := strings.Repeat("select 1", 2); isControl(q) {
		t.Errorf("%q would not pass", q)
	}
}

package upload_test

import (
	"mime"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/xep/upload"
	"parley/xmpp"
)

// FuzzNames: whatever a file is called, its address has one segment more than its directory, and
// its header one line and one name that browsers read back.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"a.png", "../../etc/passwd", `"; filename=x`, "très cool.jpg", "\u202egpj.exe", "a\r\nX: y", strings.Repeat("é", 300) + ".jpeg", "%2e%2e", "..", "日本.", "\x00", "\xff\xfe"} {
		f.Add(s, "image/png; charset=utf-8")
	}
	f.Fuzz(func(t *testing.T, name, typ string) {
		name = xmpp.Clean(name) // nothing else comes through the door
		clean := upload.CleanName(name)
		if clean == "" || clean == "." || clean == ".." || strings.ContainsAny(clean, "/\\\x00\r\n") || len(clean) > 180 || !utf8.ValidString(clean) {
			t.Fatalf("%q becomes %q", name, clean)
		}
		if again := upload.CleanName(clean); again != clean {
			t.Fatalf("%q becomes %q, and that %q", name, clean, again)
		}
		at := upload.Place("id", clean)
		u, err := url.Parse("https://example.com" + at)
		if err != nil || u.Path != "/upload/id/"+clean || path.Clean(u.Path) != u.Path || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is at %q: %v", clean, at, err)
		}
		typ, ok := upload.CleanType(typ)
		if again, fine := upload.CleanType(typ); ok && (again != typ || !fine || strings.ContainsAny(typ, "\r\n")) {
			t.Fatalf("the type %q becomes %q", typ, again)
		}
		header := upload.Disposition(typ, clean)
		how, params, err := mime.ParseMediaType(header)
		if err != nil || how != "inline" && how != "attachment" || params["filename"] != clean && strings.Contains(header, "filename*=") {
			t.Fatalf("%q is told as %q: %q %v", clean, header, params, err)
		}
		for _, c := range []byte(header) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q in %q", c, header)
			}
		}
	})
}

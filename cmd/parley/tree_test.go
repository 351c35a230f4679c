package main

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the top of the tree, seen from this package.
const root = "../.."

// mayImport is the picture of the house: which packages of the tree one may use. Arrows
// point down.
var mayImport = map[string]string{
	"xmpp":    "",
	"storage": "",
	"auth":    "xmpp storage",
	"router":  "xmpp storage",
	"roster":  "xmpp storage router",
	"xep/":    "xmpp storage router",
	"muc":     "xmpp storage router xep/mam", // rooms keep archives
	"c2s":     "xmpp auth router storage",
	"s2s":     "xmpp auth router storage",
	"web":     "xmpp auth router",
}

// sources yields every Go file of the tree.
func sources(t *testing.T, fn func(dir, path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "data" || name == "venv") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".go") {
			dir, _ := filepath.Rel(root, filepath.Dir(path))
			fn(filepath.ToSlash(dir), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsPointDown(t *testing.T) {
	checked := 0
	sources(t, func(dir, path string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(dir, "cmd/") {
			return
		}
		allowed, ok := allowedFor(dir)
		if !ok {
			t.Errorf("%s: this package is not in the picture of the house (mayImport)", dir)
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			name, ours := strings.CutPrefix(name, "parley/")
			if ours && name != dir && !slices.Contains(strings.Fields(allowed), name) {
				t.Errorf("%s imports %s; %s may import only: %s", path, name, dir, allowed)
			}
		}
	})
	if checked < 20 {
		t.Fatalf("only %d files were looked at", checked)
	}
}

// allowedFor returns what a package may import. Test helpers stand beside their package
// and may use it.
func allowedFor(dir string) (string, bool) {
	for _, helper := range []string{"xmpptest", "storagetest", "routertest"} {
		if i := strings.Index(dir, "/"+helper); i >= 0 {
			return "xmpp storage storage/storagetest auth router xmpp/xmpptest " + dir, true
		}
	}
	if list, ok := mayImport[dir]; ok {
		return list, true
	}
	if strings.HasPrefix(dir, "xep/") {
		return mayImport["xep/"], true
	}
	return "", false
}

// reference is a section of a specification as comments cite it.
var reference = regexp.MustCompile(`(RFC \d+|XEP-\d{4}) §((?:\d+|[A-Z])(?:\.\d+)*)`)

// TestSpecificationReferences looks every cited section up in the outlines of the texts.
func TestSpecificationReferences(t *testing.T) {
	known := map[string]bool{}
	f, err := os.Open(filepath.Join(root, "testdata/specs/outline.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if fields[0] == "RFC" {
			known[fields[0]+" "+fields[1]+" §"+fields[2]] = true
		} else {
			known[fields[0]+" §"+fields[1]] = true
		}
	}
	found := 0
	sources(t, func(_, path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, m := range reference.FindAllStringSubmatch(line, -1) {
				found++
				if !known[m[1]+" §"+m[2]] {
					t.Errorf("%s:%d: there is no %s §%s", path, i+1, m[1], m[2])
				}
			}
		}
	})
	if found < 100 {
		t.Fatalf("only %d references were found", found)
	}
}

// TestSQLLivesInStores keeps statements beside the tables they are about: in store.go, or
// where a package has many, in files whose names end so.
func TestSQLLivesInStores(t *testing.T) {
	sql := regexp.MustCompile("(?i)[`\"](select|insert into|update|delete from|create table) ")
	sources(t, func(dir, path string) {
		if strings.HasPrefix(dir, "storage") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "store.go") {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := sql.Find(text); m != nil {
			t.Errorf("%s: SQL (%s...) outside of store.go", path, m)
		}
	})
}

// TestNoTestSkips keeps tests honest: what is missing is a failure.
func TestNoTestSkips(t *testing.T) {
	skip := regexp.MustCompile(`\bt\.Skip(f|Now)?\(`)
	sources(t, func(_, path string) {
		if text, _ := os.ReadFile(path); skip.Match(text) {
			t.Errorf("%s skips tests", path)
		}
	})
}

// TestSecretsAreComparedInConstantTime keeps the time of a comparison from telling how much
// of a secret was right.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	const secret = `(?i:storedkey|serverkey|proof|nonce|password|token)`
	plain := regexp.MustCompile(`bytes\.Equal\(.*` + secret + `|` + secret + `\)? *[!=]= *[^n" ]`)
	length := regexp.MustCompile(`len\([^)]*\)`) // no secret
	guarded := 0
	sources(t, func(dir, path string) {
		if dir != "auth" && dir != "c2s" && dir != "storage" || strings.HasSuffix(path, "_test.go") {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		guarded += strings.Count(string(text), "subtle.ConstantTimeCompare(") + strings.Count(string(text), "hmac.Equal(")
		for i, line := range strings.Split(string(text), "\n") {
			if line = length.ReplaceAllString(line, ""); plain.MatchString(line) && !strings.Contains(line, "ConstantTimeCompare") {
				t.Errorf("%s:%d: a secret is compared with what stops at the first difference: %s", path, i+1, strings.TrimSpace(line))
			}
		}
	})
	if guarded < 4 {
		t.Errorf("only %d comparisons in constant time were found", guarded)
	}
}

// TestEveryPackageSaysWhatItIs wants a package comment.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	has := map[string]bool{}
	sources(t, func(dir, path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		has[dir] = has[dir] || f.Doc != nil
	})
	for dir, ok := range has {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

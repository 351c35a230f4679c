package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents yields every page of the tree.
func documents(t *testing.T, fn func(path, text string)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "venv" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n++
			fn(path, string(text))
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Fatalf("%d pages: %v", n, err)
	}
}

// TestLinks looks for the file behind every link that stays in the tree.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	documents(t, func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}

// TestPagesAreMerged: no page has both sides of a conflict.
func TestPagesAreMerged(t *testing.T) {
	conflict := regexp.MustCompile(`(?m)^(<<<<<<<|>>>>>>>)( |$)`)
	documents(t, func(path, text string) {
		if m := conflict.FindString(text); m != "" {
			t.Errorf("%s has %q", path, m)
		}
	})
}

// TestDocumentsNameWhatThereIs compares what pages say with the code: commands, settings,
// figures, targets of the Makefile.
func TestDocumentsNameWhatThereIs(t *testing.T) {
	command := regexp.MustCompile("(?:^|[`\n/ ])parley((?: --?[a-z]+ [^ \n`]+)*) (user|session|config|cert|backup|reload|version|serve|completion|s2s|component|upload)( [a-z]+)?")
	figure := regexp.MustCompile("`(parley_[a-z0-9_]+)`")
	target := regexp.MustCompile("`make ([a-z]+)`")
	variable := regexp.MustCompile(`PARLEY_[A-Z0-9_]+`)
	sources, err := filepath.Glob("metrics*.go")
	if err != nil {
		t.Fatal(err)
	}
	var metrics []byte
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		metrics = append(metrics, text...)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	top := rootCommand()
	top.InitDefaultHelpCmd()
	top.InitDefaultCompletionCmd()
	found := map[string]int{}
	documents(t, func(path, text string) {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			found["command"]++
			args := []string{m[2]}
			if c, _, err := top.Find(args); err != nil || c.HasSubCommands() && m[3] != "" {
				if c, _, err := top.Find(append(args, strings.TrimSpace(m[3]))); err != nil || c.HasSubCommands() && m[2] != "completion" {
					t.Errorf("%s: there is no command %q", path, strings.TrimSpace(m[0]))
				}
			}
		}
		for _, m := range figure.FindAllStringSubmatch(text, -1) {
			found["figure"]++
			if !strings.Contains(string(metrics), `"`+strings.TrimPrefix(m[1], "parley_")+`"`) {
				t.Errorf("%s: there is no figure %s", path, m[1])
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			found["target"]++
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: the Makefile has no target %s", path, m[1])
			}
		}
		for _, name := range variable.FindAllString(text, -1) {
			found["variable"]++
			if name != "PARLEY_CONFIG" && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("%s: there is no variable %s", path, name)
			}
		}
	})
	for _, kind := range []string{"command", "figure", "target", "variable"} {
		if found[kind] < 5 {
			t.Errorf("only %d of the kind %s were found", found[kind], kind)
		}
	}
}

// TestDependenciesAreExplained wants a line for every module that go.mod names itself.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`).FindAllStringSubmatch(string(mod), -1)
	if len(direct) < 10 {
		t.Fatalf("go.mod names %d modules", len(direct))
	}
	for _, m := range direct {
		if !strings.Contains(string(page), "| "+m[1]+" | "+m[2]+" |") {
			t.Errorf("docs/dependencies.md does not explain %s %s", m[1], m[2])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+\.\S+/\S+) \|`).FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(string(mod), "\t"+m[1]+" ") {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not name", m[1])
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesTests wants every test and conversation that the page on security names
// to be there.
func TestSecurityNamesTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| Requirement | Test |\n|---|---|\n")
	if !ok {
		t.Fatal("the table is missing")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	named := 0
	for _, row := range strings.Split(table, "\n") {
		_, tests, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(tests, -1) {
			named++
			if !testExists(t, m[1]) {
				t.Errorf("there is no %s", m[1])
			}
		}
	}
	if rows := strings.Count(table, "\n") + 1; named < rows || rows < 15 {
		t.Errorf("%d rows name %d tests", rows, named)
	}
}

// testExists looks for a conversation, or for a function of a package's tests.
func testExists(t *testing.T, name string) bool {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "testdata/talk", name+".talk")); err == nil {
		return true // its name may have the number of a section in it
	}
	i := strings.LastIndex(name, ".")
	if i < 0 {
		return false
	}
	files, err := filepath.Glob(filepath.Join(root, name[:i], "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name[i+1:]+"(") {
			return true
		}
	}
	return false
}

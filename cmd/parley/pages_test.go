package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"parley/router"
)

var update = flag.Bool("update", false, "write the generated pages")

// TestGeneratedPages compares the pages that are made from the code with the code. With
// -update it writes them.
func TestGeneratedPages(t *testing.T) {
	list := implemented(t)
	page(t, "README.md", func(old string) string { return between(t, old, "standards", standardsTable(t, list)) })
	page(t, "xep/README.md", func(string) string { return xepPage(t, list) })
	page(t, "docs/configuration.md", func(string) string { return configurationPage() })
	page(t, "docs/cli.md", func(string) string { return cliPage() })
}

func page(t *testing.T, name string, of func(old string) string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	old, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	text := of(string(old))
	if text == string(old) {
		return
	}
	if !*update {
		t.Errorf("%s is out of date; run: make generate", name)
		return
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// between replaces what stands between two marks.
func between(t *testing.T, text, mark, now string) string {
	t.Helper()
	begin, end := "<!-- "+mark+": generated -->\n", "<!-- "+mark+": end -->"
	i, j := strings.Index(text, begin), strings.Index(text, end)
	if i < 0 || j < i {
		t.Fatalf("the marks of %s are missing", mark)
	}
	return text[:i+len(begin)] + now + text[j:]
}

// A standard is an RFC or XEP that a package implements.
type standard struct {
	number         int
	version, notes string
	packages       []string
}

type standards struct{ rfcs, xeps []standard }

// implemented asks the features themselves.
func implemented(t *testing.T) standards {
	t.Helper()
	cfg := defaults()
	cfg.Data = t.TempDir()
	cfg.Search.Enabled = true // it is there, though nobody has it by default
	h, err := openHouse(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(context.Background())
	packages := featurePackages(t)
	if len(packages) != len(h.features) {
		t.Fatalf("features.go names %d packages, and there are %d features", len(packages), len(h.features))
	}
	rfcs, xeps := map[int]*standard{}, map[int]*standard{}
	for _, f := range h.router.Features() {
		pkg := "router" // its own
		if i := slices.IndexFunc(h.features, func(g router.Feature) bool { return g.Name == f.Name }); i >= 0 {
			pkg = packages[i]
		}
		for _, r := range f.RFCs {
			note(rfcs, r.Number, "", r.Note, pkg)
		}
		for _, x := range f.XEPs {
			note(xeps, x.Number, x.Version, x.Note, pkg)
		}
	}
	return standards{sorted(rfcs), sorted(xeps)}
}

func note(m map[int]*standard, number int, version, text, pkg string) {
	s := m[number]
	if s == nil {
		s = &standard{number: number, version: version}
		m[number] = s
	}
	if text != "" && s.notes != "" {
		s.notes += "; "
	}
	s.notes += text
	if !slices.Contains(s.packages, pkg) {
		s.packages = append(s.packages, pkg)
	}
}

func sorted(m map[int]*standard) (list []standard) {
	for _, s := range m {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b standard) int { return cmp.Compare(a.number, b.number) })
	return list
}

// featurePackages reads in features.go which package each feature comes from.
func featurePackages(t *testing.T) (list []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "features.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string]string{}
	for _, i := range f.Imports {
		full, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(full)
		if i.Name != nil {
			name = i.Name.Name
		}
		imports[name] = strings.TrimPrefix(full, "parley/")
	}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, e := range lit.Elts {
			if call, ok := e.(*ast.CallExpr); ok {
				list = append(list, imports[call.Fun.(*ast.SelectorExpr).X.(*ast.Ident).Name])
			}
		}
		return true
	})
	return list
}

// titles are the names of what we implement, "RFC 6120" or "XEP-0030" first.
func titles(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "testdata/specs/titles.txt"))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, title, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m[name] = title
	}
	return m
}

func rfcName(n int) string { return fmt.Sprintf("RFC %d", n) }
func xepName(n int) string { return fmt.Sprintf("XEP-%04d", n) }

func standardsTable(t *testing.T, list standards) string {
	var b strings.Builder
	names := titles(t)
	row := func(name, url, version string, s standard) {
		if names[name] == "" {
			t.Errorf("%s has no title in testdata/specs/titles.txt", name)
		}
		fmt.Fprintf(&b, "| [%s](%s) | %s | %s | %s |\n", name, url, names[name], version, s.notes)
	}
	b.WriteString("\n| Standard | Title | Version | Notes |\n|---|---|---|---|\n")
	for _, s := range list.rfcs {
		row(rfcName(s.number), fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc%d", s.number), "", s)
	}
	for _, s := range list.xeps {
		row(xepName(s.number), fmt.Sprintf("https://xmpp.org/extensions/xep-%04d.html", s.number), s.version, s)
	}
	return b.String() + "\n"
}

func xepPage(t *testing.T, list standards) string {
	var b strings.Builder
	b.WriteString("# Extensions\n\nWhich package implements which XEP, and which version of it was read. Made from the features\nthemselves by `make generate`.\n\n| XEP | Title | Version | Package |\n|---|---|---|---|\n")
	names := titles(t)
	for _, s := range list.xeps {
		var packages []string
		for _, p := range s.packages {
			packages = append(packages, fmt.Sprintf("[`%s`](../%s)", p, p))
		}
		name := xepName(s.number)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, names[name], s.version, strings.Join(packages, ", "))
	}
	return b.String()
}

func configurationPage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Made from the code by ` + "`make generate`" + `; ` + "`parley config example`" + ` prints the same as a file to start from.

Parley needs no configuration. Where there is one, it is a TOML file: the one that ` + "`--config`" + ` or the variable
` + "`PARLEY_CONFIG`" + ` names, else ` + "`parley.toml`" + ` in the working directory. A variable of the environment
wins over the file; lists are written with commas between their entries. An unknown key is an error, in
the file and in the environment.

Keys marked "yes" under *reload* are read again on SIGHUP (` + "`parley reload`" + `); for the others the server says
that they need a restart.
`)
	writeTable(&b, "", "", reflect.ValueOf(defaults()))
	return b.String()
}

func writeTable(b *strings.Builder, name, doc string, v reflect.Value) {
	if name != "" {
		fmt.Fprintf(b, "\n## %s\n\n%s\n", name, doc)
		name += "."
	}
	b.WriteString("\n| Key | Default | Reload | Variable | Meaning |\n|---|---|---|---|---|\n")
	for f := range fields(v.Type()) {
		if nested(f) {
			continue
		}
		key := name + f.Tag.Get("toml")
		fmt.Fprintf(b, "| `%s` | `%s` | %s | `%s` | %s |\n", key, tomlValue(v.FieldByIndex(f.Index)), yes(f), envName(key), f.Tag.Get("doc"))
	}
	for f := range fields(v.Type()) {
		if !nested(f) {
			continue
		}
		key, doc := f.Tag.Get("toml"), f.Tag.Get("doc")
		if f.Type.Kind() == reflect.Struct {
			writeTable(b, key, doc, v.FieldByIndex(f.Index))
			continue
		}
		fmt.Fprintf(b, "\n## %s\n\n%s Reload: %s.\n\n```toml\n%s```\n\n%s\n", key, doc, yes(f), uncommented(exampleTable[key]), mapVariables[key])
	}
}

var mapVariables = map[string]string{
	"contact":           "Variables: `PARLEY_CONTACT_ABUSE` and so on.",
	"external_services": "Variable: `PARLEY_EXTERNAL_SERVICES`, as `Relay=turn:turn.example.org:3478:secret`, several with commas; port and secret may be missing.",
	"shared_groups":     "Variable: `PARLEY_SHARED_GROUPS`, as `Everybody=@example.org`, several groups with commas and the members of one with blanks between them.",
	"rooms_domains":     "Variable: `PARLEY_ROOMS_DOMAINS`, as `example.org=company`, several with commas between them.",
	"component":         "Variable: `PARLEY_COMPONENT`, as `irc.example.org=secret`, several with commas between them. [Components](components.md) says what each of these is for.",
	"certificates":      "Variable: `PARLEY_CERTIFICATES`, as `example.org=/etc/parley/example.org.pem:/etc/parley/example.org.key`, several with commas between them.",
}

func nested(f reflect.StructField) bool {
	return f.Type.Kind() == reflect.Map || f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]()
}

func yes(f reflect.StructField) string {
	if f.Tag.Get("reload") != "" {
		return "yes"
	}
	return "no"
}

func uncommented(text string) string { return strings.ReplaceAll(text, "# ", "") }

func cliPage() string {
	top := rootCommand()
	top.InitDefaultHelpCmd()
	top.InitDefaultCompletionCmd()
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\nMade from the code by `make generate`; `parley help COMMAND` says the same.\n\n```text\n%s\n```\n\nFlags of every command:\n\n```text\n%s```\n",
		strings.TrimSpace(top.Long), top.PersistentFlags().FlagUsages())
	for _, c := range top.Commands() {
		writeCommand(&b, c)
	}
	return b.String()
}

func writeCommand(b *strings.Builder, c *cobra.Command) {
	if c.Name() == "help" {
		return
	}
	text := c.Short
	if c.Long != "" && c.Name() != "completion" {
		text = c.Long
	}
	if c.Name() == "completion" { // its own are one for each shell, and explain themselves
		fmt.Fprintf(b, "\n## parley completion bash|zsh|fish|powershell\n\n%s. `parley help completion bash` says how to load it.\n", text)
		return
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(b, "\n## %s\n\n%s.\n", c.CommandPath(), strings.TrimSuffix(text, "."))
		for _, sub := range c.Commands() {
			writeCommand(b, sub)
		}
		return
	}
	level := "##"
	if c.Parent().HasParent() {
		level = "###"
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n", level, strings.TrimSuffix(c.UseLine(), " [flags]"), strings.TrimSuffix(text, "."))
	if c.HasAvailableLocalFlags() {
		if usage := c.LocalNonPersistentFlags().FlagUsages(); usage != "" {
			fmt.Fprintf(b, "\n```text\n%s```\n", usage)
		}
	}
}

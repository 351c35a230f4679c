package xmpp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyField is a form with a field of each type (XEP-0004 §3.3).
func everyField() Form {
	choices := []Option{{"One", "1"}, {"Two", "2"}}
	return Form{Type: "form", Fields: []Field{
		FormType("urn:test"),
		{Var: "head", Type: "fixed", Values: []string{"Read this"}},
		{Var: "yes", Type: "boolean"},
		{Var: "who", Type: "jid-single"},
		{Var: "all", Type: "jid-multi"},
		{Var: "one", Type: "list-single", Options: choices, Values: []string{"2"}},
		{Var: "some", Type: "list-multi", Options: choices},
		{Var: "line", Type: "text-single", Required: true},
		{Var: "secret", Type: "text-private"},
		{Var: "text", Type: "text-multi"},
		{Var: "number", Type: "text-single", Range: &Range{Min: -1, Max: 20}, Values: []string{"0"}},
	}}
}

func field(name string, values ...string) Field { return Field{Var: name, Values: values} }

func TestAccept(t *testing.T) {
	for name, c := range map[string]struct {
		in   []Field
		want map[string][]string // of the fields that are not as in an empty submission
	}{
		"only what is required": {[]Field{field("line", "x")}, nil},
		"ways of writing": {[]Field{field("line", "x"), field("yes", "true"), field("who", " Juliet@Example.COM/a "),
			field("all", "a@example.com", "A@example.com", "b@example.com"), field("some", "2", "1", "2"), field("text", "a", "", "b\n", "")},
			map[string][]string{"yes": {"1"}, "who": {"juliet@example.com/a"}, "all": {"a@example.com", "b@example.com"}, "some": {"2", "1"}, "text": {"a\n\nb"}}},
		"a number":            {[]Field{field("line", "x"), field("number", " +07 ")}, map[string][]string{"number": {"7"}}},
		"no":                  {[]Field{field("line", "x"), field("yes", "false")}, map[string][]string{"yes": {"0"}}},
		"empty is no value":   {[]Field{field("line", "x"), field("one", ""), field("text", "", " "), field("who")}, map[string][]string{"one": nil}},
		"nobody asked":        {[]Field{field("line", "x"), field("other", "y"), {Var: "", Values: []string{"z"}}, {Var: ""}}, nil},
		"a fixed one":         {[]Field{field("line", "x"), field("head", "changed")}, nil},
		"FORM_TYPE as it is":  {[]Field{field("FORM_TYPE", "urn:test"), field("line", "x")}, nil},
		"a password as it is": {[]Field{field("line", "x"), field("secret", "  pass word ")}, map[string][]string{"secret": {"  pass word "}}},
	} {
		want := map[string][]string{"FORM_TYPE": {"urn:test"}, "yes": nil, "who": nil, "all": nil, "one": {"2"}, "some": nil, "line": {"x"}, "secret": nil, "text": nil, "number": {"0"}}
		for k, v := range c.want {
			want[k] = v
		}
		out, err := everyField().Accept(Form{Type: "submit", Fields: c.in})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[string][]string{}
		for _, f := range out.Fields {
			got[f.Var] = f.Values
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	many := make([]string, maxFormValues+1)
	for i := range many {
		many[i] = "a@example.com"
	}
	for name, c := range map[string]struct {
		field string // that is named
		in    []Field
	}{
		"required and missing":   {"line", nil},
		"required and empty":     {"line", []Field{field("line", "")}},
		"twice":                  {"who", []Field{field("line", "x"), field("who", "a@b"), field("who", "c@b")}},
		"two values":             {"line", []Field{field("line", "x", "y")}},
		"two lines":              {"line", []Field{field("line", "x\ny")}},
		"a long line":            {"line", []Field{field("line", strings.Repeat("x", maxFormLine+1))}},
		"a long password":        {"secret", []Field{field("line", "x"), field("secret", strings.Repeat("x", maxFormLine+1))}},
		"a long text":            {"text", []Field{field("line", "x"), field("text", strings.Repeat("x", maxFormText), "y")}},
		"no boolean":             {"yes", []Field{field("line", "x"), field("yes", "maybe")}},
		"no address":             {"who", []Field{field("line", "x"), field("who", "@")}},
		"no address among some":  {"all", []Field{field("line", "x"), field("all", "a@b", "b@@c")}},
		"too many":               {"all", []Field{field("line", "x"), field("all", many...)}},
		"no number":              {"number", []Field{field("line", "x"), field("number", "7.5")}},
		"too small a number":     {"number", []Field{field("line", "x"), field("number", "-2")}},
		"too large a number":     {"number", []Field{field("line", "x"), field("number", "21")}},
		"no choice":              {"one", []Field{field("line", "x"), field("one", "3")}},
		"two choices for one":    {"one", []Field{field("line", "x"), field("one", "1", "2")}},
		"no choice among some":   {"some", []Field{field("line", "x"), field("some", "1", "3")}},
		"another FORM_TYPE":      {"FORM_TYPE", []Field{field("FORM_TYPE", "urn:other"), field("line", "x")}},
		"too many fields at all": {"", make([]Field, maxFormFields+1)},
	} {
		_, err := everyField().Accept(Form{Type: "submit", Fields: c.in})
		var wrong *FormError
		if !errors.As(err, &wrong) || wrong.Var != c.field || len(err.Error()) > 200 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, typ := range []string{"", "form", "result", "cancel"} {
		if _, err := everyField().Accept(Form{Type: typ, Fields: []Field{field("line", "x")}}); err == nil {
			t.Errorf("a form of type %q is taken for a submission", typ)
		}
	}
}

// TestFormsAreReadAsTheyAreWritten also writes the tables of XEP-0004 §3.4.
func TestFormsAreReadAsTheyAreWritten(t *testing.T) {
	f := everyField()
	f.Title, f.Instructions = "A <title>", "Fill & send"
	var b Builder
	st := NewStanza(Message, b.Raw(f.Payload()).Payload())
	st, err := ParseStanzaBytes(st.AppendNS(nil, NSClient))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := ParseForm(st.Child(NSForm, "x"))
	if d := cmp.Diff(f, got); !ok || d != "" {
		t.Error(d)
	}
	table := Form{Type: "result", Reported: []Field{{Var: "a", Label: "A"}}, Items: [][]Field{{field("a", "1")}, {field("a", "<2>")}}}
	want := `<x xmlns='jabber:x:data' type='result'><reported><field var='a' label='A'/></reported>` +
		`<item><field var='a'><value>1</value></field></item><item><field var='a'><value>&lt;2&gt;</value></field></item></x>`
	if got := string(table.Payload()); got != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
}

// FuzzAccept submits anything: what is accepted is accepted again, and is the same.
func FuzzAccept(f *testing.F) {
	f.Add(`<field var='line'><value>x</value></field>`)
	f.Add(`<field var='line'><value>x</value></field><field var='all'><value>a@b</value><value>c@D/e</value></field><field var='text'><value>a&#10;</value><value/><value>b</value></field>`)
	f.Add(`<field var='line'><value>x</value></field><field var='yes'><value>true</value></field><field var='some'><value>1</value><value>2</value></field><field var='one'/>`)
	f.Fuzz(func(t *testing.T, inner string) {
		st, err := ParseStanzaBytes([]byte(`<message xmlns='jabber:client'><x xmlns='jabber:x:data' type='submit'>` + inner + `</x></message>`))
		if err != nil {
			return
		}
		in, ok := ParseForm(st.Child(NSForm, "x"))
		if !ok {
			t.Fatal("the form is gone")
		}
		once, err := everyField().Accept(in)
		if err != nil {
			return
		}
		again, err := everyField().Accept(once)
		if d := cmp.Diff(once, again); err != nil || d != "" {
			t.Errorf("%v %s", err, d)
		}
	})
}

package xmpp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is accepted in a form that somebody has filled in.
const (
	maxFormFields = 256      // fields, also those that nobody asked for
	maxFormValues = 1000     // values of one field
	maxFormLine   = 3071     // bytes of one line: as many as the longest address has
	maxFormText   = 64 << 10 // bytes of a text of many lines
)

// A FormError says what is wrong with a form that somebody has filled in. It is theirs to
// mend.
type FormError struct {
	Var    string // the field; "" where it is the form
	Reason string
}

func (e *FormError) Error() string {
	if e.Var == "" {
		return e.Reason
	}
	return e.Var + ": " + e.Reason
}

// Accept reads in, what was filled in of the form f, and returns it with the fields of f
// and no others (XEP-0004 §3.1), in their order, in one way of writing: a boolean is "1"
// or "0", an address is normalised, text of many lines is one value, and each choice and
// address is there once. A field that is not in the submission keeps the value it has in f
// (XEP-0004 §3.5); one that is there and empty has no values (XEP-0004 §3.6). The error is
// a *FormError.
func (f Form) Accept(in Form) (Form, error) {
	if in.Type != "submit" {
		return Form{}, &FormError{"", "a form of type submit is expected"}
	}
	if len(in.Fields) > maxFormFields {
		return Form{}, &FormError{"", fmt.Sprintf("more than %d fields", maxFormFields)}
	}
	given := map[string]Field{}
	for _, fd := range in.Fields {
		if _, twice := given[fd.Var]; twice && fd.Var != "" {
			return Form{}, &FormError{fd.Var, "given twice"}
		}
		given[fd.Var] = fd
	}
	out := Form{Type: "submit"}
	for _, want := range f.Fields {
		if want.Type == "fixed" {
			continue
		}
		got, there := given[want.Var]
		values := want.Values
		if there {
			var err error
			if values, err = want.accept(got.Values); err != nil {
				return Form{}, err
			}
		}
		if want.Required && len(values) == 0 {
			return Form{}, &FormError{want.Var, "required"}
		}
		out.Fields = append(out.Fields, Field{Var: want.Var, Type: want.Type, Values: values})
	}
	return out, nil
}

// accept checks the values that were given for a field by its type (XEP-0004 §3.3).
func (f Field) accept(values []string) ([]string, error) {
	if len(values) > maxFormValues {
		return nil, f.wrong("more than %d values", maxFormValues)
	}
	if f.Type == "text-multi" {
		return f.acceptText(values)
	}
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if len(values) > 1 && !f.multi() {
		return nil, f.wrong("more than one value") // XEP-0004 §3.2
	}
	var out []string
	for _, v := range values {
		v, err := f.acceptOne(v)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out, nil
}

// multi reports whether the field may have several values.
func (f Field) multi() bool {
	return f.Type == "jid-multi" || f.Type == "list-multi" || f.Type == "hidden"
}

// acceptText makes one text of the lines (XEP-0004 §3.3, third note). One that has nothing
// to read in it is none.
func (f Field) acceptText(lines []string) ([]string, error) {
	text := strings.TrimRight(strings.Join(lines, "\n"), " \t\r\n")
	switch {
	case len(text) > maxFormText:
		return nil, f.wrong("more than %d bytes", maxFormText)
	case strings.TrimSpace(text) == "":
		return nil, nil
	}
	return []string{text}, nil
}

func (f Field) acceptOne(v string) (string, error) {
	switch f.Type {
	case "boolean":
		switch v {
		case "1", "true":
			return "1", nil
		case "0", "false":
			return "0", nil
		}
		return "", f.wrong("neither true nor false")
	case "jid-single", "jid-multi":
		j, err := ParseJID(strings.TrimSpace(v))
		if err != nil {
			return "", f.wrong("%q is no address", shorten(v))
		}
		return j.String(), nil
	case "list-single", "list-multi":
		if !slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == v }) {
			return "", f.wrong("%q is none of the choices", shorten(v))
		}
		return v, nil
	case "hidden":
		if !slices.Contains(f.Values, v) {
			return "", f.wrong("changed")
		}
		return v, nil
	}
	switch {
	case len(v) > maxFormLine:
		return "", f.wrong("more than %d bytes", maxFormLine)
	case strings.ContainsAny(v, "\r\n"):
		return "", f.wrong("more than one line")
	case f.Range != nil:
		return f.acceptNumber(v)
	}
	return v, nil
}

// acceptNumber reads a whole number (XEP-0122 §3.2.3).
func (f Field) acceptNumber(v string) (string, error) {
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil || n < f.Range.Min || n > f.Range.Max {
		return "", f.wrong("not a number from %d to %d", f.Range.Min, f.Range.Max)
	}
	return strconv.Itoa(n), nil
}

func (f Field) wrong(format string, args ...any) error {
	return &FormError{f.Var, fmt.Sprintf(format, args...)}
}

// shorten keeps what is repeated in an error short.
func shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

package xmpp

import "strconv"

// NSForm is the namespace of data forms (XEP-0004).
const NSForm = "jabber:x:data"

// nsValidate is the namespace of what says which values a field may have (XEP-0122).
const nsValidate = "http://jabber.org/protocol/xdata-validate"

// A Form is a data form (XEP-0004 §3).
type Form struct {
	Type         string // form, submit, cancel or result
	Title        string
	Instructions string
	Fields       []Field

	// A result of many items has these and no fields (XEP-0004 §3.4).
	Reported []Field   // the columns: Var, Type and Label
	Items    [][]Field // the rows
}

// A Field is a field of a form. Var is FORM_TYPE for the hidden one that names the form
// (XEP-0068 §3.1).
type Field struct {
	Var, Type, Label, Desc string
	Required               bool
	Values                 []string
	Options                []Option
	Range                  *Range // of a field of type text-single that is a whole number
}

// A Range is between which numbers a whole number is (XEP-0122 §3.2.3).
type Range struct{ Min, Max int }

// An Option is a choice of a list field.
type Option struct{ Label, Value string }

// FormType returns the hidden field that names a form (XEP-0068).
func FormType(ns string) Field {
	return Field{Var: "FORM_TYPE", Type: "hidden", Values: []string{ns}}
}

// Payload returns the <x/> element.
func (f Form) Payload() Payload {
	var b Builder
	b.Open(NSForm, "x", "type", f.Type)
	if f.Title != "" {
		b.Leaf("", "title", Clean(f.Title))
	}
	if f.Instructions != "" {
		b.Leaf("", "instructions", Clean(f.Instructions))
	}
	writeFields(&b, f.Fields)
	if len(f.Reported) > 0 {
		b.Open("", "reported")
		writeFields(&b, f.Reported)
		b.Close()
	}
	for _, item := range f.Items {
		b.Open("", "item")
		writeFields(&b, item)
		b.Close()
	}
	return b.Close().Payload()
}

func writeFields(b *Builder, fields []Field) {
	for _, fd := range fields {
		b.Open("", "field", "var", fd.Var, "type", fd.Type, "label", Clean(fd.Label))
		if fd.Desc != "" {
			b.Leaf("", "desc", Clean(fd.Desc))
		}
		if fd.Required {
			b.Open("", "required").Close()
		}
		if r := fd.Range; r != nil {
			b.Open(nsValidate, "validate", "datatype", "xs:integer").
				Open("", "range", "min", strconv.Itoa(r.Min), "max", strconv.Itoa(r.Max)).Close().Close()
		}
		for _, v := range fd.Values {
			b.Leaf("", "value", Clean(v))
		}
		for _, o := range fd.Options {
			b.Open("", "option", "label", Clean(o.Label)).Leaf("", "value", Clean(o.Value)).Close()
		}
		b.Close()
	}
}

// ParseForm reads an <x/> element; ok is false if it is none.
func ParseForm(e Element) (f Form, ok bool) {
	if !e.Is(NSForm, "x") {
		return Form{}, false
	}
	f = Form{Type: e.Attr("type"), Title: e.ChildText("", "title"), Instructions: e.ChildText("", "instructions")}
	e.Children(func(c Element) bool {
		if c.Is(NSForm, "field") {
			f.Fields = append(f.Fields, parseField(c))
		}
		return true
	})
	return f, true
}

func parseField(e Element) Field {
	fd := Field{Var: e.Attr("var"), Type: e.Attr("type"), Label: e.Attr("label")}
	e.Children(func(c Element) bool {
		switch {
		case c.Is(NSForm, "value"):
			fd.Values = append(fd.Values, c.Text())
		case c.Is(NSForm, "required"):
			fd.Required = true
		case c.Is(NSForm, "desc"):
			fd.Desc = c.Text()
		case c.Is(NSForm, "option"):
			fd.Options = append(fd.Options, Option{c.Attr("label"), c.ChildText("", "value")})
		case c.Is(nsValidate, "validate"):
			fd.Range = parseRange(c)
		}
		return true
	})
	return fd
}

// parseRange reads a <validate/>; nil is anything but whole numbers between two.
func parseRange(e Element) *Range {
	in := e.Child(nsValidate, "range")
	least, err := strconv.Atoi(in.Attr("min"))
	most, wrong := strconv.Atoi(in.Attr("max"))
	if err != nil || wrong != nil || e.Attr("datatype") != "xs:integer" {
		return nil
	}
	return &Range{least, most}
}

// Value returns the first value of the field named name, or "".
func (f Form) Value(name string) string {
	if v := f.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns the values of the field named name.
func (f Form) Values(name string) []string {
	for _, fd := range f.Fields {
		if fd.Var == name {
			return fd.Values
		}
	}
	return nil
}

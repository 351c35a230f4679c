package pubsub

import (
	"slices"

	"parley/xmpp"
)

// Purposes of forms (XEP-0060 §16.4, §7.1.5).
const (
	formConfig    = nsPubsub + "#node_config"
	formOptions   = nsPubsub + "#publish-options"
	formMeta      = nsPubsub + "#meta-data"
	formAuthorise = nsPubsub + "#subscribe_authorization"
)

// submitted reads a form that somebody has filled in for a purpose; ok is false where there
// is none. A form that does not say what it is for is taken.
func submitted(parent xmpp.Element, purpose string) (f xmpp.Form, ok bool, err error) {
	f, ok = xmpp.ParseForm(parent.Child(xmpp.NSForm, "x"))
	switch v := f.Value("FORM_TYPE"); {
	case !ok:
		return f, false, nil
	case v != "" && v != purpose:
		return f, true, fault("", "bad-request", "invalid-options", "the form is for something else")
	case len(f.Fields) > maxFields:
		return f, true, fault("", "bad-request", "invalid-options", "too many fields")
	}
	return f, true, nil
}

// maxFields is how many fields a form may have.
const maxFields = 256

// apply returns the configuration as a form says it is to be. What the form does not speak of
// stays, and fields that are not there are not looked at (XEP-0060 §8.2.4).
func (r rules) apply(c config, in xmpp.Form) (config, error) {
	for _, fd := range r.fields() {
		i := slices.IndexFunc(in.Fields, func(f xmpp.Field) bool { return f.Var == fd.name })
		if i < 0 {
			continue
		}
		if !fd.take(&c, in.Fields[i].Values) {
			if fd.name == "pubsub#access_model" { // XEP-0060 §8.1.2
				return c, fault("", "not-acceptable", "unsupported-access-model", "")
			}
			return c, xmpp.Refuse("not-acceptable", fd.name) // XEP-0060 §8.2.5.2
		}
	}
	return c, nil
}

// meets reports whether a configuration is as the options of a publication say
// (XEP-0060 §7.1.5). Of a field that is unknown it is not.
func (r rules) meets(c config, options xmpp.Form) bool {
	known := r.fields()
	for _, f := range options.Fields {
		if f.Var == "FORM_TYPE" || f.Var == "" && f.Type == "fixed" {
			continue
		}
		i := slices.IndexFunc(known, func(fd field) bool { return fd.name == f.Var })
		if i < 0 {
			return false
		}
		want := c
		if !known[i].take(&want, f.Values) || !slices.Equal(known[i].give(&want), known[i].give(&c)) {
			return false
		}
	}
	return true
}

// made returns how a node is that a publication with these options makes: as by default, in
// all that they do not speak of (XEP-0060 §7.1.5).
func (r rules) made(c config, options xmpp.Form) (config, error) {
	c, err := r.apply(c, options)
	if err != nil || !r.meets(c, options) { // something unknown
		return c, preconditionNot()
	}
	return c, nil
}

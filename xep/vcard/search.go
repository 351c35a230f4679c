package vcard

import (
	"context"
	"strings"
	"unicode/utf8"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

const nsSearch = "jabber:iq:search"

// What one field of a search may be.
const (
	maxTerm  = 100 // characters
	maxStars = 3
)

// DefaultResults is how many people a search returns at most.
const DefaultResults = 50

type directory struct {
	store   *storage.Store
	results func() int
}

// Search returns the feature that lets users find each other by their vCards (XEP-0055),
// those of their own domain only; where it is not enabled it does nothing, and nobody hears of
// it. results is asked how many people an answer may have.
func Search(enabled bool, results func() int) router.Feature {
	if !enabled {
		return router.Feature{Name: "search"}
	}
	d := &directory{results: results}
	return router.Feature{
		Name:       "search",
		XEPs:       []router.XEP{{Number: 55, Version: "1.3", Note: "switched off unless the operator wants it; one's own domain only"}},
		Disco:      []string{nsSearch},
		Identities: []router.Identity{{Category: "directory", Type: "user", Name: "vCard search"}},
		IQ: []router.IQ{
			router.Get(router.ToServer, nsSearch, "query", d.fields),
			router.Set(router.ToServer, nsSearch, "query", d.search),
		},
		Start: func(h router.Hall) { d.store = h.Store },
	}
}

// A field is one that can be searched for (XEP-0055 §7.2).
type field struct{ name, label string }

func searchFields() [4]field {
	return [4]field{{"first", "Given Name"}, {"last", "Family Name"}, {"nick", "Nickname"}, {"email", "Email Address"}}
}

const instructions = "Fill in one or more fields. What is found has your words in it; * stands for anything."

// mayAsk lets nobody in but the users of the domain that is asked.
func mayAsk(q *router.Request) error {
	if q.Sender == nil || q.From().Domain() != q.Host {
		return xmpp.Refuse("forbidden", "this directory is for the users of "+q.Host)
	}
	return nil
}

// fields says what can be searched for, as fields and as a form (XEP-0055 §2.1, §3).
func (d *directory) fields(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	if err := mayAsk(q); err != nil {
		return nil, err
	}
	var b xmpp.Builder
	b.Open(nsSearch, "query").Leaf("", "instructions", instructions)
	form := xmpp.Form{Type: "form", Title: "People at " + q.Host, Instructions: instructions, Fields: []xmpp.Field{xmpp.FormType(nsSearch)}}
	for _, f := range searchFields() {
		b.Open("", f.name).Close()
		form.Fields = append(form.Fields, xmpp.Field{Var: f.name, Type: "text-single", Label: f.label})
	}
	return b.Raw(form.Payload()).Payload(), nil
}

// search answers in the form in which it was asked (XEP-0055 §2.1, §3).
func (d *directory) search(ctx context.Context, q *router.Request) (xmpp.Payload, error) {
	if err := mayAsk(q); err != nil {
		return nil, err
	}
	form, asForm := xmpp.ParseForm(q.Payload.Child(xmpp.NSForm, "x"))
	if asForm && form.Type == "cancel" {
		return nil, nil
	}
	var patterns [4]string
	asked := false
	for i, f := range searchFields() {
		term := q.Payload.ChildText(nsSearch, f.name)
		if asForm {
			term = form.Value(f.name)
		}
		var err error
		if patterns[i], err = pattern(term); err != nil {
			return nil, err
		}
		asked = asked || strings.TrimSpace(term) != ""
	}
	if !asked {
		return nil, xmpp.Refuse("bad-request", "no field is filled in")
	}
	var list []found
	q.Round.Flush() // who waits, flushes
	err := d.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = search(tx, q.Host, patterns, d.results())
		return err
	})
	if err != nil {
		return nil, err
	}
	if asForm {
		return formOf(list), nil
	}
	return itemsOf(list), nil
}

// pattern makes what the store compares with of a word that somebody looks for: it may stand
// anywhere, or where its asterisks say.
func pattern(term string) (string, error) {
	term = strings.TrimSpace(term)
	if utf8.RuneCountInString(term) > maxTerm || strings.Count(term, "*") > maxStars {
		return "", xmpp.Refuse("not-acceptable", "a field is too long, or has too many asterisks")
	}
	if !strings.Contains(term, "*") {
		term = "*" + term + "*"
	}
	p := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(folded(term))
	for strings.Contains(p, "%%") {
		p = strings.ReplaceAll(p, "%%", "%")
	}
	return p, nil
}

func (e found) values() [4]string { return [4]string{e.first, e.last, e.nick, e.email} }

// itemsOf is the answer to a search by fields; no item where nobody is found.
func itemsOf(list []found) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsSearch, "query")
	for _, e := range list {
		b.Open("", "item", "jid", e.jid)
		for i, f := range searchFields() {
			b.Leaf("", f.name, e.values()[i])
		}
		b.Close()
	}
	return b.Payload()
}

// formOf is the answer to a search by a form.
func formOf(list []found) xmpp.Payload {
	var b xmpp.Builder
	b.Open(nsSearch, "query").Open(xmpp.NSForm, "x", "type", "result")
	b.Open("", "field", "var", "FORM_TYPE", "type", "hidden").Leaf("", "value", nsSearch).Close()
	b.Open("", "reported")
	b.Open("", "field", "var", "jid", "type", "jid-single", "label", "Address").Close()
	for _, f := range searchFields() {
		b.Open("", "field", "var", f.name, "type", "text-single", "label", f.label).Close()
	}
	b.Close()
	for _, e := range list {
		b.Open("", "item")
		b.Open("", "field", "var", "jid").Leaf("", "value", e.jid).Close()
		for i, f := range searchFields() {
			b.Open("", "field", "var", f.name).Leaf("", "value", e.values()[i]).Close()
		}
		b.Close()
	}
	return b.Payload()
}

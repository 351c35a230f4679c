package caps

import (
	"slices"
	"strings"

	"parley/xmpp"
)

// Limits of one answer. What is larger is not used at all.
const (
	maxBytes      = 32 << 10
	maxFeatures   = 500
	maxIdentities = 32
	maxForms      = 16
)

// An Info is what is kept of an answer. It does not change.
type Info struct {
	Identities []xmpp.Identity
	Features   []string
}

func (in *Info) size() int {
	n := 64
	for _, f := range in.Features {
		n += len(f) + 16
	}
	for _, id := range in.Identities {
		n += len(id.Category) + len(id.Type) + len(id.Lang) + len(id.Name) + 64
	}
	return n
}

// judge looks at the answer to an announcement. info is what the one who gave it can do,
// nil where the answer is an error, or ill-formed. proven are those hashes of the
// announcement that were computed again from the answer and are the same; only under these
// may it be cached.
//
// An answer that proves nothing speaks for who gave it and for nobody else: that is all
// XEP-0115 §5.4 leaves of one with an unknown hash, and the same holds for any client that
// tells what it can do when it is asked.
func judge(an announcement, st *xmpp.Stanza) (info *Info, proven []digest) {
	q := st.Payload()
	if st.Type != "result" || len(st.Body()) > maxBytes {
		return nil, nil
	}
	in, ok := xmpp.ParseInfo(q)
	if node := q.Attr("node"); !ok || node != "" && node != an.node {
		return nil, nil
	}
	if len(in.Features) > maxFeatures || len(in.Identities) > maxIdentities || len(in.Forms) > maxForms {
		return nil, nil
	}
	old, err := in.Legacy()
	if err != nil {
		return nil, nil // XEP-0115 §5.4: the entire response is ill-formed
	}
	for _, d := range an.digests {
		if d.generation == "0115" && d.of(old) && unambiguous(in) || d.generation == "0390" && proves(in, d, lang(st, q)) {
			proven = append(proven, d)
		}
	}
	return &Info{in.InLang(lang(st, q)).Identities, in.Features}, proven // XEP-0390 §6.2.1: the language is kept
}

// proves reports whether a capability hash is that of an answer: as it is written, or with
// the language of what it stands in, which not all clients think of (XEP-0390 §4.1).
func proves(in xmpp.Info, d digest, lang string) bool {
	s, err := in.Input()
	if err != nil {
		return false // XEP-0390 §4.4
	}
	if d.of(s) {
		return true
	}
	s, err = in.InLang(lang).Input()
	return err == nil && d.of(s)
}

// lang returns the language that the identities of an answer have if they do not say.
func lang(st *xmpp.Stanza, q xmpp.Element) string {
	if l := q.Lang(); l != "" {
		return l
	}
	return st.Lang
}

// unambiguous reports whether the verification string of an answer can be that of no other
// one that hides features. The string does not say where identities, features and forms
// begin (XEP-0115 §9.3): of the hash of a well-known client somebody could prove that its
// last features are a form, or its first ones identities, and take them away from all who
// have that client. So nothing is proved by an answer with
//
//   - '<' in anything, as that divides the parts;
//   - an identity without category or type, as an http: address would be one;
//   - forms of which the first could as well stand at the end of the features.
func unambiguous(in xmpp.Info) bool {
	if len(in.Identities) == 0 || len(in.Features) == 0 {
		return false
	}
	for _, id := range in.Identities {
		if id.Category == "" || id.Type == "" || divided(id.Category, id.Type, id.Lang, id.Name) {
			return false
		}
	}
	forms, err := in.Named()
	if err != nil || divided(in.Features...) {
		return false
	}
	for _, f := range forms {
		for _, fd := range f.Fields {
			if divided(fd.Var) || divided(fd.Values...) {
				return false
			}
		}
	}
	return len(forms) == 0 || forms[0].Value("FORM_TYPE") <= slices.Max(in.Features)
}

func divided(parts ...string) bool {
	return slices.ContainsFunc(parts, func(s string) bool { return strings.Contains(s, "<") })
}

package caps

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"parley/xmpp"
)

// digests computes all hashes that are known here of an answer.
func digests(t testing.TB, content string) (all []digest) {
	t.Helper()
	in, _ := xmpp.ParseInfo(parse(t, `<iq type='result' id='1'>`+query(content)+`</iq>`).Payload())
	for generation, input := range map[string]func() ([]byte, error){"0115": in.Legacy, "0390": in.Input} {
		s, err := input()
		if err != nil {
			t.Fatal(err)
		}
		for _, algo := range []string{"sha-1", "sha-224", "sha-256", "sha-384", "sha-512", "sha3-256", "sha3-512", "blake2b-256", "blake2b-512"} {
			if generation == "0115" && !strings.HasPrefix(algo, "sha-") || generation == "0390" && algo == "sha-1" {
				continue
			}
			h := hashFunction(algo)
			h.Write(s)
			all = append(all, digest{generation, algo, base64.StdEncoding.EncodeToString(h.Sum(nil))})
		}
	}
	return all
}

// says is presence that announces a digest.
func (d digest) says() string {
	if d.generation == "0115" {
		return announces(d.algo, d.value)
	}
	return `<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='` + d.algo + `'>` + d.value + `</hash></c></presence>`
}

func TestEachFunction(t *testing.T) {
	for _, d := range digests(t, exodus) {
		an, ok := announced(parse(t, d.says()))
		if !ok || !slices.Equal(an.digests, []digest{d}) {
			t.Errorf("%s is announced as %v", d, an)
			continue
		}
		answer := `<iq type='result' id='1'>` + query(exodus) + `</iq>`
		if info, proven := judge(an, parse(t, answer)); info == nil || !slices.Equal(proven, []digest{d}) {
			t.Errorf("%s is not proved: %v", d, proven)
		}
		if _, proven := judge(an, parse(t, strings.Replace(answer, "muc", "mud", 1))); len(proven) != 0 {
			t.Errorf("%s is proved by something else", d)
		}
	}
}

// TestSets announces several hashes of which one is wrong: each is judged by itself.
func TestSets(t *testing.T) {
	good := digests(t, exodus)
	wrong := digests(t, `<identity category='client' type='pc'/><feature var='urn:wrong'/>`)
	pick := func(l []digest, generation, algo string) digest {
		i := slices.IndexFunc(l, func(d digest) bool { return d.generation == generation && d.algo == algo })
		return l[i]
	}
	a, b, c := pick(good, "0390", "sha-256"), pick(wrong, "0390", "sha3-256"), pick(good, "0115", "sha-1")
	st := parse(t, `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='`+c.value+`'/>`+
		`<c xmlns='urn:xmpp:caps'><other xmlns='urn:other'/><hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>2jmj7l5rSw0yVb/vlWAYkK/YBwk=</hash>`+
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'> `+a.value+` </hash><hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>`+b.value+`</hash></c></presence>`)
	an, ok := announced(st)
	if want := []digest{a, b, c}; !ok || !slices.Equal(an.digests, want) || an.node != "urn:xmpp:caps#sha-256."+a.value {
		t.Fatalf("announced as %v", an)
	}
	if got := an.trusted(); !slices.Equal(got, []digest{a, b}) {
		t.Errorf("trusted: %v", got)
	}
	if _, proven := judge(an, parse(t, `<iq type='result' id='1'>`+query(exodus)+`</iq>`)); !slices.Equal(proven, []digest{a, c}) {
		t.Errorf("proved: %v", proven)
	}
}

// TestLanguageOfTheStream proves a hash that was computed with the language of what the
// answer stands in (XEP-0390 §4.1), and one that was not.
func TestLanguageOfTheStream(t *testing.T) {
	explicit := strings.Replace(exodus, "<identity", "<identity xml:lang='de'", 1)
	for _, d := range append(digests(t, explicit), digests(t, exodus)...) {
		if d.generation != "0390" {
			continue
		}
		an, _ := announced(parse(t, d.says()))
		for _, answer := range []string{
			`<iq type='result' id='1' xml:lang='de'>` + query(exodus) + `</iq>`,
			`<iq type='result' id='1' xml:lang='en'>` + strings.Replace(query(exodus), "<query", "<query xml:lang='de'", 1) + `</iq>`,
		} {
			info, proven := judge(an, parse(t, answer))
			if len(proven) != 1 || info.Identities[0].Lang != "de" {
				t.Errorf("%s by %s: %v", d, answer, proven)
			}
		}
	}
}

func TestNothingAnnounced(t *testing.T) {
	long := strings.Repeat("x", maxNode)
	for _, content := range []string{
		``,
		`<c xmlns='http://jabber.org/protocol/caps'/>`,
		`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x'/>`,
		`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>`,
		`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='` + long + `' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>`,
		`<c xmlns='urn:xmpp:caps'/>`,
		`<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='md5'>1B2M2Y8AsgTpgAmY7PhCfg==</hash></c>`,
		`<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>short</hash></c>`,
		`<c xmlns='urn:xmpp:caps'><hash xmlns='urn:other' algo='sha-256'>kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=</hash></c>`,
		`<c xmlns='urn:xmpp:caps'>` + strings.Repeat(`<hash xmlns='urn:xmpp:hashes:2'/>`, maxHashes) +
			`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=</hash></c>`,
	} {
		if an, ok := announced(parse(t, `<presence>`+content+`</presence>`)); ok {
			t.Errorf("%s announces %v", content, an)
		}
	}
}

// FuzzJudge looks that whatever proves a hash is what was hashed, read in one way only.
func FuzzJudge(f *testing.F) {
	f.Add(exodus, exodus)
	f.Add(exodus, exodus+`<feature var='a'/>`)
	f.Add(exodus+`<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value></field><field var='b'><value>c</value></field></x>`, exodus)
	f.Add(`<identity category='a' type='b' name='c'/><feature var='a'/><feature var='b'/>`,
		`<identity category='a' type='b' name='c'/><feature var='a'/><x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>b</value></field></x>`)
	f.Fuzz(func(t *testing.T, truth, answer string) {
		said, err := xmpp.ParseStanza(`<iq type='result' id='1'>` + query(truth) + `</iq>`)
		if err != nil {
			return
		}
		in, ok := xmpp.ParseInfo(said.Payload())
		st, err := xmpp.ParseStanza(`<iq type='result' id='1'>` + query(answer) + `</iq>`)
		if err != nil || !ok {
			return
		}
		for generation, input := range map[string]func() ([]byte, error){"0115": in.Legacy, "0390": in.Input} {
			s, err := input()
			if err != nil {
				continue
			}
			h := hashFunction("sha-256")
			h.Write(s)
			an := announcement{node: "n", digests: []digest{{generation, "sha-256", base64.StdEncoding.EncodeToString(h.Sum(nil))}}}
			info, proven := judge(an, st)
			if len(proven) == 0 {
				continue
			}
			for _, feature := range in.Features { // nothing is hidden of what the client has
				if !slices.Contains(info.Features, feature) && (generation == "0390" || unambiguous(in)) {
					t.Errorf("%s: %q is hidden by\n%s\nof\n%s", generation, feature, answer, truth)
				}
			}
		}
	})
}

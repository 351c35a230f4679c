package caps

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xmpp"
)

// exodus is the example of XEP-0115 §5.2, and ver its verification string.
const (
	ver    = "QgayPKawpkPSDYmwT/WM94uAlu0="
	exodus = `<identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/caps'/>` +
		`<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>` +
		`<feature var='http://jabber.org/protocol/muc'/>`
	muc = "http://jabber.org/protocol/muc"
)

func announces(hash, ver string) string {
	return `<presence><c xmlns='http://jabber.org/protocol/caps' hash='` + hash + `' node='urn:x' ver='` + ver + `'/></presence>`
}

func query(content string) string {
	return `<query xmlns='http://jabber.org/protocol/disco#info'>` + content + `</query>`
}

// of is the verification string of an answer.
func of(t testing.TB, content string) string {
	t.Helper()
	in, _ := xmpp.ParseInfo(parse(t, `<iq type='result' id='1'>`+query(content)+`</iq>`).Payload())
	s, err := in.Legacy()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(s)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func parse(t testing.TB, xml string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseStanza(xml)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A world is a house that knows capabilities, and remembers what became known.
type world struct {
	*routertest.House
	f  *feature
	mu sync.Mutex
	// known are the features of each client, as the other features heard of them.
	known map[string][]string
	times int
}

func newWorld(t testing.TB, dir string, change func(*feature)) *world {
	w := &world{f: newFeature(time.Now), known: map[string][]string{}}
	if change != nil {
		change(w.f)
	}
	listener := router.Feature{Name: "listener", Known: func(_ *router.Turn, _ *router.Account, res router.Resource, features []string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.known[res.JID().String()] = features
		w.times++
	}}
	w.House = routertest.NewWith(t, routertest.Config{Features: []router.Feature{listener, w.f.feature()}, Storage: storage.Config{Dir: dir}})
	return w
}

func (w *world) heard(jid string) []string {
	w.Settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[jid]
}

// comes connects somebody who announces a hash.
func (w *world) comes(jid, presence string) *routertest.Actor {
	a := w.Connected(jid)
	a.Sends(presence)
	return a
}

// isAsked wants the next thing that the actor hears to be the question for a node.
func isAsked(a *routertest.Actor, node string) {
	a.Gets(`<iq type='get' id='caps-*' from='example.com'><query xmlns='http://jabber.org/protocol/disco#info' node='` + node + `'/></iq>`)
}

// rows returns what the table knows.
func (w *world) rows(t testing.TB) (n int64) {
	t.Helper()
	w.Barrier()
	err := w.Store.Read(context.Background(), func(tx *storage.Tx) error {
		_, err := tx.One(`select count(*) from capabilities`, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *world) capabilities(a *routertest.Actor, presence string) ([]string, bool) {
	st, err := xmpp.ParseStanza(presence)
	if err != nil {
		return nil, false
	}
	return w.Router.Capabilities(a.JID(), st)
}

func TestKnownOnceForAll(t *testing.T) {
	w := newWorld(t, "", nil)
	st := announces("sha-1", ver)
	a := w.comes("a@example.com/x", st)
	isAsked(a, "urn:x#"+ver)
	if f, ok := w.capabilities(a, st); ok {
		t.Errorf("before the answer: %v", f)
	}
	b := w.comes("b@example.com/x", st) // waits
	b.GetsNothing()
	if got := w.heard("a@example.com/x"); got != nil {
		t.Errorf("before the answer: %v", got)
	}
	a.Answers(query(exodus))
	for _, jid := range []string{"a@example.com/x", "b@example.com/x"} {
		if got := w.heard(jid); !slices.Contains(got, muc) || len(got) != 4 {
			t.Errorf("%s: %v", jid, got)
		}
	}
	c := w.comes("c@example.com/x", st)
	c.GetsNothing()
	if got := w.heard("c@example.com/x"); !slices.Contains(got, muc) {
		t.Errorf("the third: %v", got)
	}
	for _, presence := range []string{st, `<presence/>`} { // without one the last one is in force
		if f, ok := w.capabilities(c, presence); !ok || !slices.Contains(f, muc) {
			t.Errorf("%s: %v, %v", presence, f, ok)
		}
	}
	elsewhere := xmpp.MustJID("d@elsewhere.example/x")
	if f, ok := w.Router.Capabilities(elsewhere, parse(t, st)); !ok || !slices.Contains(f, muc) {
		t.Errorf("somebody of another server: %v, %v", f, ok)
	}
	if _, ok := w.Router.Capabilities(elsewhere, parse(t, `<presence/>`)); ok {
		t.Error("somebody who announces nothing")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.times != 3 {
		t.Errorf("%d times something came to be known, for three clients", w.times)
	}
}

// TestSaidAgain has a client repeat itself, change, and go.
func TestSaidAgain(t *testing.T) {
	w := newWorld(t, "", nil)
	a := w.comes("a@example.com/x", announces("sha-1", ver))
	isAsked(a, "urn:x#"+ver)
	a.Answers(query(exodus))
	a.Sends(announces("sha-1", ver))
	a.GetsNothing()
	other := `<identity category='client' type='pc'/><feature var='urn:other'/>`
	a.Sends(announces("sha-1", of(t, other)))
	isAsked(a, "urn:x#"+of(t, other))
	if f, ok := w.capabilities(a, `<presence/>`); ok {
		t.Errorf("what was announced before is in force: %v", f)
	}
	a.Answers(query(other))
	if got := w.heard("a@example.com/x"); !slices.Equal(got, []string{"urn:other"}) {
		t.Errorf("it has changed to %v", got)
	}
	a.Leaves()
	if f, ok := w.capabilities(a, `<presence/>`); ok || len(w.f.there) != 0 || len(w.f.open) != 0 {
		t.Errorf("it has gone: %v", f)
	}
}

// TestPoisoning has somebody announce other people's hash and answer something else.
func TestPoisoning(t *testing.T) {
	w := newWorld(t, "", nil)
	st := announces("sha-1", ver)
	mallory := w.comes("mallory@example.com/x", st)
	isAsked(mallory, "urn:x#"+ver)
	victim := w.comes("victim@example.com/x", st)
	mallory.Answers(query(`<identity category='client' name='Exodus 0.9.1' type='pc'/><feature var='urn:nothing'/>`))
	if got := w.heard("mallory@example.com/x"); !slices.Equal(got, []string{"urn:nothing"}) {
		t.Errorf("mallory speaks for itself: %v", got)
	}
	if n := w.rows(t); n != 0 || len(w.f.cache.entries) != 0 {
		t.Errorf("%d rows, %d entries after a lie", n, len(w.f.cache.entries))
	}
	isAsked(victim, "urn:x#"+ver)
	victim.Answers(query(exodus))
	if got := w.heard("victim@example.com/x"); !slices.Contains(got, muc) {
		t.Errorf("the victim: %v", got)
	}
	mallory.Sends(announces("sha-1", of(t, `<identity category='client' type='pc'/><feature var='a'/>`)))
	isAsked(mallory, "*")
	mallory.Answers(query(exodus)) // of another hash
	if n := w.rows(t); n != 1 {
		t.Errorf("%d rows instead of the victim's", n)
	}
	later := w.comes("later@example.com/x", st)
	later.GetsNothing()
	if got := w.heard("later@example.com/x"); !slices.Contains(got, muc) {
		t.Errorf("who comes later: %v", got)
	}
}

// TestHiddenFeatures has somebody prove the hash with the last features made a form, or the
// first ones an identity: the string is the same (XEP-0115 §9.3).
func TestHiddenFeatures(t *testing.T) {
	const id = `<identity category='client' type='pc'/>`
	victim := id + `<feature var='a/b/c/d'/><feature var='http://jabber.org/x/y'/><feature var='urn:a'/><feature var='urn:b'/><feature var='urn:c'/>`
	for name, lie := range map[string]string{
		"a form":       id + `<feature var='a/b/c/d'/><feature var='http://jabber.org/x/y'/><feature var='urn:a'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:b</value></field><field var='urn:c'/></x>`,
		"an empty one": id + `<feature var='a/b/c/d'/><feature var='http://jabber.org/x/y'/><feature var='urn:a'/><feature var='urn:b'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:c</value></field></x>`,
		"one name":     id + `<feature var='a/b/c/d'/><feature var='http://jabber.org/x/y'/><feature var='urn:a&lt;urn:b&lt;urn:c'/>`,
	} {
		t.Run(name, func(t *testing.T) {
			if of(t, victim) != of(t, lie) {
				t.Fatalf("the lie is none: %s, %s", of(t, victim), of(t, lie))
			}
			w := newWorld(t, "", nil)
			mallory := w.comes("mallory@example.com/x", announces("sha-1", of(t, victim)))
			isAsked(mallory, "*")
			mallory.Answers(query(lie))
			if n := w.rows(t); n != 0 || len(w.f.cache.entries) != 0 {
				t.Errorf("it is believed: %d rows", n)
			}
			honest := w.comes("honest@example.com/x", announces("sha-1", of(t, victim)))
			isAsked(honest, "*")
			honest.Answers(query(victim))
			if got := w.heard("honest@example.com/x"); !slices.Contains(got, "urn:c") || w.rows(t) != 1 {
				t.Errorf("the honest one: %v", got)
			}
		})
	}
}

// TestFormsAreCached looks that what real clients answer is not taken for such a lie.
func TestFormsAreCached(t *testing.T) {
	w := newWorld(t, "", nil)
	content := exodus + `<feature var='urn:xmpp:time'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>` +
		`<value>urn:xmpp:dataforms:softwareinfo</value></field><field var='os'><value>Mac</value></field></x>`
	a := w.comes("a@example.com/x", announces("sha-1", of(t, content)))
	isAsked(a, "*")
	a.Answers(query(content))
	if n := w.rows(t); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestUnusableAnswers(t *testing.T) {
	many := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprintf(`<feature var='f%d'/>`, i)
		}
		return s
	}
	for name, answer := range map[string]string{
		"an error":         `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`,
		"something else":   `<query xmlns='http://jabber.org/protocol/disco#items'/>`,
		"of another node":  strings.Replace(query(exodus), `#info'`, `#info' node='urn:x#other'`, 1),
		"a feature twice":  query(exodus + `<feature var='http://jabber.org/protocol/muc'/>`),
		"too many":         query(many(maxFeatures + 1)),
		"too many bytes":   query(`<feature var='` + strings.Repeat("a", maxBytes) + `'/>`),
		"nothing":          ``,
		"too many forms":   query(strings.Repeat(`<x xmlns='jabber:x:data'/>`, maxForms+1)),
		"too many persons": query(strings.Repeat(`<identity category='a' type='b'/>`, maxIdentities+1)),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", nil)
			a := w.comes("a@example.com/x", announces("sha-1", ver))
			isAsked(a, "*")
			a.Answers(answer)
			if got := w.heard("a@example.com/x"); got != nil || w.rows(t) != 0 || len(w.f.open) != 0 {
				t.Errorf("%v is known", got)
			}
		})
	}
}

// TestNotVerifiable has clients announce what cannot be verified: it is theirs alone.
func TestNotVerifiable(t *testing.T) {
	for name, st := range map[string]string{
		"no function":         `<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:x' ver='1.0' ext='a'/></presence>`,
		"an unknown function": announces("md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
		"no hash":             announces("sha-1", "0.9"),
		"bits behind the end": announces("sha-1", "QgayPKawpkPSDYmwT/WM94uAlu1="),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", nil)
			a, b := w.comes("a@example.com/x", st), w.comes("b@example.com/x", st)
			isAsked(a, "urn:x#*")
			isAsked(b, "urn:x#*")
			a.Answers(query(exodus))
			if got := w.heard("a@example.com/x"); !slices.Contains(got, muc) {
				t.Errorf("what it can do itself: %v", got)
			}
			if got := w.heard("b@example.com/x"); got != nil || w.rows(t) != 0 {
				t.Errorf("the other: %v", got)
			}
		})
	}
}

// TestSurvivesARestart asks no client twice.
func TestSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	want := w0(t, dir)
	t.Run("after", func(t *testing.T) {
		w := newWorld(t, dir, nil)
		a := w.comes("b@example.com/x", announces("sha-1", ver))
		a.GetsNothing()
		if got := w.heard("b@example.com/x"); !slices.Equal(got, want) {
			t.Errorf("%v instead of %v", got, want)
		}
		e, _ := w.f.cache.get([]digest{{"0115", "sha-1", ver}})
		if len(e.info.Identities) != 1 || e.info.Identities[0] != (xmpp.Identity{Category: "client", Type: "pc", Name: "Exodus 0.9.1"}) {
			t.Errorf("identities: %v", e.info.Identities)
		}
	})
}

// w0 is the time before the restart.
func w0(t *testing.T, dir string) (features []string) {
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, dir, nil)
		a := w.comes("a@example.com/x", announces("sha-1", ver))
		isAsked(a, "*")
		a.Answers(query(exodus))
		features = w.heard("a@example.com/x")
	})
	if len(features) != 4 {
		t.Fatalf("before: %v", features)
	}
	return features
}

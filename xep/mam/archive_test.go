package mam_test

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

// Flags of kept rows, as the schema has them.
const (
	incoming = 1
	outgoing = 2
	hidden   = 4
	content  = 8
)

// A keeper writes archives as the server does.
type keeper struct {
	t  testing.TB
	tx *storage.Tx
}

// fills runs fn with a keeper, in one transaction.
func fills(t testing.TB, s *storage.Store, fn func(k keeper)) {
	t.Helper()
	if err := s.Write(t.Context(), func(tx *storage.Tx) error { fn(keeper{t, tx}); return nil }); err != nil {
		t.Fatal(err)
	}
}

func (k keeper) exec(q string, args ...any) {
	if err := k.tx.Exec(q, args...); err != nil {
		k.t.Error(err)
	}
}

// takes says that all up to an id was taken, except these.
func (k keeper) takes(owner int64, upto storage.ID, missed ...byte) {
	k.exec(`insert into taken (owner, upto, missed) values ($1, $2, $3)
		on conflict (owner) do update set upto = excluded.upto, missed = excluded.missed`, owner, upto, append([]byte{}, missed...))
}

// body keeps a stanza.
func (k keeper) body(id storage.ID, one, two int64, stanza string) {
	if !strings.Contains(stanza, "xmlns='jabber:client'") {
		stanza = strings.Replace(stanza, "<message", "<message xmlns='jabber:client'", 1)
	}
	k.exec(`insert into body (id, one, two, stanza) values ($1, $2, $3, $4)`, id, one, two, []byte(stanza))
}

// row keeps a row of an owner.
func (k keeper) row(owner int64, id storage.ID, peer xmpp.JID, flags int) {
	k.exec(`insert into peer (jid) values ($1) on conflict (jid) do nothing`, peer.Bare().String())
	h := fnv.New32a()
	h.Write([]byte(peer.Resource()))
	resource := int64(h.Sum32())
	if peer.Resource() == "" {
		resource = 0
	}
	visible := 1
	if flags&hidden != 0 {
		visible = 0
	}
	k.exec(`insert into kept (owner, id, peer, flags, resource, n)
		select $1, $2, p.id, $4, $5,
			$6 + coalesce((select n from kept where owner = $1 and id < $2 order by id desc limit 1), 0)
		from peer p where p.jid = $3`, owner, id, peer.Bare().String(), flags, resource, visible)
	if visible == 1 {
		k.exec(`insert into exchanged (owner, id, peer, flags, resource, m)
			select $1, $2, p.id, $4, $5,
				1 + coalesce((select m from exchanged where owner = $1 and peer = p.id and id < $2 order by id desc limit 1), 0)
			from peer p where p.jid = $3`, owner, id, peer.Bare().String(), flags, resource)
	}
}

// said keeps one message that an owner got from, or sent to, a peer.
func (k keeper) said(owner int64, me xmpp.JID, id storage.ID, peer xmpp.JID, flags int, name, inside string) {
	from, to := peer, me
	if flags&outgoing != 0 {
		from, to = me, peer
	}
	k.body(id, owner, 0, fmt.Sprintf(`<message from='%s' to='%s' type='chat' id='%s'>%s</message>`, from, to, name, inside))
	k.row(owner, id, peer, flags)
}

// A scene is a house in which juliet has an archive.
type scene struct {
	*routertest.House
	t      testing.TB
	juliet *routertest.Actor
	owner  int64
	n      int
}

const base = storage.ID(1_700_000_000_000_000) // 2023-11-14T22:13:20Z

// at is the id of the n-th second of the scene.
func at(n int) storage.ID { return base + storage.ID(n)*1_000_000 }

func play(t testing.TB, archive mam.Archive) *scene {
	return playWith(t, &mam.Limits{Archive: func(string) mam.Archive { return archive }})
}

func playWith(t testing.TB, lim *mam.Limits, more ...router.Feature) *scene {
	t.Helper()
	h := routertest.NewWith(t, routertest.Config{Features: append([]router.Feature{mam.New(func() mam.Limits { return *lim })}, more...)})
	s := &scene{House: h, t: t}
	s.juliet = h.Connected("juliet@example.com/balcony")
	s.owner, _, _ = h.Dir.Lookup(t.Context(), xmpp.MustJID("juliet@example.com"))
	return s
}

// asks sends a request and returns what came: results, and the answer.
func (s *scene) asks(typ, inside string) (results []*xmpp.Stanza, answer *xmpp.Stanza) {
	s.t.Helper()
	return s.asksAs(s.juliet, typ, "", inside)
}

func (s *scene) asksAs(who *routertest.Actor, typ, to, inside string) (results []*xmpp.Stanza, answer *xmpp.Stanza) {
	s.t.Helper()
	s.n++
	if to != "" {
		to = " to='" + to + "'"
	}
	who.Says(fmt.Sprintf(`<iq type='%s' id='q%d'%s>%s</iq>`, typ, s.n, to, inside))
	for st := who.Hears(); st != nil; st = who.Hears() {
		if st.Kind == xmpp.IQ {
			if st.ID != "q"+strconv.Itoa(s.n) {
				s.t.Fatalf("an answer to %s: %s", st.ID, st)
			}
			return results, st
		}
		results = append(results, st)
	}
	s.t.Fatalf("no answer to %s", inside)
	return nil, nil
}

// form is a query with these fields, "name=value", and more behind the form.
func form(more string, fields ...string) string {
	b := `<query xmlns='urn:xmpp:mam:2' queryid='f'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>`
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		b += `<field var='` + name + `'>`
		for _, v := range strings.Split(value, " ") {
			if name != "ids" {
				v = value
			}
			b += `<value>` + string(xmpp.AppendEscaped(nil, v)) + `</value>`
			if name != "ids" {
				break
			}
		}
		b += `</field>`
	}
	return b + `</x>` + more + `</query>`
}

func rsm(inside string) string {
	return `<set xmlns='http://jabber.org/protocol/rsm'>` + inside + `</set>`
}

// names returns the ids of the messages in results, in one line.
func names(results []*xmpp.Stanza) string {
	var list []string
	for _, st := range results {
		m := st.Child("urn:xmpp:mam:2", "result").Child("urn:xmpp:forward:0", "forwarded").Child("", "")
		st.Child("urn:xmpp:mam:2", "result").Child("urn:xmpp:forward:0", "forwarded").Children(func(e xmpp.Element) bool {
			if e.Name().Local == "message" {
				m = e
			}
			return true
		})
		list = append(list, m.Attr("id"))
	}
	return strings.Join(list, " ")
}

// A tail is what a <fin/> says.
type tail struct {
	complete                  bool
	first, last, index, count string
}

func finOf(t testing.TB, answer *xmpp.Stanza) tail {
	t.Helper()
	fin := answer.Child("urn:xmpp:mam:2", "fin")
	if fin.IsZero() {
		t.Fatalf("no <fin/>: %s", answer)
	}
	set := fin.Child(xmpp.NSRSM, "set")
	f := set.Child("", "first")
	return tail{fin.Attr("complete") == "true", f.Text(), set.ChildText("", "last"), f.Attr("index"), set.ChildText("", "count")}
}

// refused wants an error.
func refused(t testing.TB, what string, answer *xmpp.Stanza, condition string) {
	t.Helper()
	if e := xmpp.ErrorOf(answer); e == nil || e.Condition != condition {
		t.Errorf("%s: %s instead of %s", what, answer, condition)
	}
}

func stampOf(id storage.ID) string { return id.Time().Format("2006-01-02T15:04:05.000Z") }

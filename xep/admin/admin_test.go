package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/admin"
	"parley/xep/command"
	"parley/xmpp"
)

const ns = "http://jabber.org/protocol/admin"

// office is admin.House: bard is the administrator, and everybody exists but nobody.
type office struct {
	users  int
	broken string // the localpart of the account with which everything goes wrong
	did    []string
	ended  []string
}

func (o *office) Admin(jid xmpp.JID) bool { return jid == xmpp.MustJID("bard@example.com") }
func (o *office) Admins() []xmpp.JID      { return []xmpp.JID{xmpp.MustJID("bard@example.com")} }

func (o *office) do(what, by string, jid xmpp.JID) error {
	if jid.Local() == o.broken {
		return errors.New("the disk is on fire")
	}
	o.did = append(o.did, what+" "+jid.String()+" by "+by)
	return nil
}

func (o *office) AddUser(_ context.Context, by string, jid xmpp.JID, password string) error {
	return o.do("add", by, jid)
}
func (o *office) RemoveUser(_ context.Context, by string, jid xmpp.JID) error {
	return o.do("remove", by, jid)
}
func (o *office) DisableUser(_ context.Context, by string, jid xmpp.JID) error {
	return o.do("disable", by, jid)
}
func (o *office) EnableUser(_ context.Context, by string, jid xmpp.JID) error {
	return o.do("enable", by, jid)
}
func (o *office) SetPassword(_ context.Context, by string, jid xmpp.JID, _ string, spare xmpp.JID) error {
	return o.do("password", by, jid)
}
func (o *office) EndSessions(_ string, jid xmpp.JID) int {
	o.ended = append(o.ended, jid.String())
	return 1
}
func (o *office) User(_ context.Context, jid xmpp.JID) (admin.User, bool, error) {
	return admin.User{}, jid.Local() != "nobody", nil
}
func (o *office) Count(context.Context, string, bool) (int64, error) { return int64(o.users), nil }
func (o *office) Users(_ context.Context, host string, _ bool, limit int) (list []xmpp.JID, err error) {
	for i := range min(limit, o.users) {
		list = append(list, xmpp.MustJID(fmt.Sprintf("user%d@%s", i, host)))
	}
	return list, nil
}
func (o *office) Shutdown(by string, after time.Duration, text string) error {
	o.did = append(o.did, fmt.Sprint("shutdown ", after, " ", text))
	return nil
}
func (o *office) Reload(string) ([]string, error) { return nil, errors.New("no") }

func house(t *testing.T, o *office) (*routertest.House, *routertest.Actor, *bytes.Buffer) {
	log := &bytes.Buffer{}
	h := routertest.NewWith(t, routertest.Config{
		Features: []router.Feature{command.New(time.Now), admin.New(o)}, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	return h, h.Connected("bard@example.com/globe"), log
}

// runs goes through a command with one form and returns the last answer. fields are names
// and values in turn.
func runs(a *routertest.Actor, node string, fields ...string) *xmpp.Stanza {
	ask := `<iq to='example.com' id='q' type='set'><command xmlns='http://jabber.org/protocol/commands' node='` + ns + node + `'`
	a.Sends(ask + `/></iq>`)
	id := a.Gets(`<iq type='result'>…</iq>`).Payload().Attr("sessionid")
	form := `<x xmlns='jabber:x:data' type='submit'>`
	for i := 0; i < len(fields); i += 2 {
		form += `<field var='` + fields[i] + `'>`
		for _, v := range strings.Fields(fields[i+1]) {
			form += `<value>` + v + `</value>`
		}
		form += `</field>`
	}
	a.Sends(ask + ` sessionid='` + id + `'>` + form + `</x></command></iq>`)
	return a.Hears()
}

// wants fails the test unless the answer has all of the texts.
func wants(t *testing.T, st *xmpp.Stanza, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if st == nil || !strings.Contains(st.String(), text) {
			t.Errorf("%q is missing in %s", text, st)
		}
	}
}

// TestWhoMay believes nobody but a session that has logged in.
func TestWhoMay(t *testing.T) {
	o := &office{}
	h, bard, _ := house(t, o)
	may := admin.May(o.Admin)
	ask := &xmpp.Stanza{From: bard.JID()}
	tybalt := h.Connected("tybalt@example.com/globe")
	for who, q := range map[string]*router.Request{
		"somebody elsewhere who writes bard's address": {Stanza: ask},
		"tybalt":                         {Stanza: &xmpp.Stanza{From: tybalt.JID()}, Sender: tybalt.Peer().Sender},
		"tybalt, as if he were somebody": {Stanza: ask, Sender: tybalt.Peer().Sender},
	} {
		if may(q) {
			t.Errorf("%s may", who)
		}
	}
	if !may(&router.Request{Stanza: ask, Sender: bard.Peer().Sender}) {
		t.Error("bard may not")
	}
}

// TestOneOfSeveralFails tells which, and not why.
func TestOneOfSeveralFails(t *testing.T) {
	o := &office{broken: "romeo"}
	_, bard, log := house(t, o)
	st := runs(bard, "#disable-user", "accountjids", "juliet@example.com romeo@example.com paris@example.com")
	wants(t, st, "status='completed'", "<note type='error'>romeo@example.com: ", "Disabled: 2")
	if strings.Contains(st.String(), "fire") || !strings.Contains(log.String(), "the disk is on fire") {
		t.Errorf("%s\n%s", st, log)
	}
	if len(o.did) != 2 || o.did[0] != "disable juliet@example.com by bard@example.com/globe" {
		t.Errorf("%v", o.did)
	}
	wants(t, runs(bard, "#disable-user", "accountjids", "romeo@example.com"), "type='error'", "internal-server-error")
	wants(t, runs(bard, "#delete-user", "accountjids", "juliet@example.com nobody@example.com"), "item-not-found", "nobody@example.com")
	wants(t, runs(bard, "#delete-user", "accountjids", "bard@example.com"), "not-allowed")
	wants(t, runs(bard, "#reenable-user", "accountjids", "bard@example.com"), "Enabled: 1")
	if len(o.did) != 3 {
		t.Errorf("%v", o.did)
	}
}

// TestAddressesOfOthers are refused: of another domain, of no account, of sessions.
func TestAddressesOfOthers(t *testing.T) {
	o := &office{}
	_, bard, _ := house(t, o)
	for _, c := range []struct{ node, field string }{
		{"#add-user", "accountjid"}, {"#change-user-password", "accountjid"}, {"#user-stats", "accountjid"},
		{"#delete-user", "accountjids"}, {"#disable-user", "accountjids"}, {"#reenable-user", "accountjids"}, {"#get-user-lastlogin", "accountjids"},
	} {
		for _, jid := range []string{"a@example.net", "a@elsewhere.example", "example.com", "a@example.com/x"} {
			wants(t, runs(bard, c.node, c.field, jid, "password", "a-password"), "bad-payload")
		}
	}
	for _, jid := range []string{"a@example.net", "example.com", "example.com/x"} {
		wants(t, runs(bard, "#end-user-session", "accountjids", jid), "bad-payload")
	}
	if len(o.did) != 0 || len(o.ended) != 0 {
		t.Errorf("%v %v", o.did, o.ended)
	}
}

// TestLongListsAreCut where they would not fit into an answer, and it says so.
func TestLongListsAreCut(t *testing.T) {
	_, bard, _ := house(t, &office{users: 100_000})
	wants(t, runs(bard, "#get-registered-users-list", "max_items", "25"), "user24@example.com", "These are 25 of 100000.")
	st := runs(bard, "#get-registered-users-list", "max_items", "none")
	wants(t, st, "user4999@example.com", "These are 5000 of 100000.")
	if n := st.Len(); n > 1<<20 {
		t.Errorf("the answer has %d bytes", n)
	}
}

// TestOwnSessionsEndBehindTheAnswer and those of others at once.
func TestOwnSessionsEndBehindTheAnswer(t *testing.T) {
	o := &office{}
	h, bard, _ := house(t, o)
	h.Connected("bard@example.com/field")
	wants(t, runs(bard, "#end-user-session", "accountjids", "bard@example.com tybalt@example.com/x"), "Sessions ended: 3")
	if fmt.Sprint(o.ended) != "[tybalt@example.com/x bard@example.com]" {
		t.Errorf("%v", o.ended)
	}
}

func TestShutdown(t *testing.T) {
	o := &office{}
	_, bard, _ := house(t, o)
	wants(t, runs(bard, "#shutdown", "announcement", "Bye"), "in 60 seconds") // as the form says
	wants(t, runs(bard, "#shutdown", "delay", "31536000"), "bad-payload")
	wants(t, runs(bard, "#shutdown", "delay", ""), "bad-payload")
	if fmt.Sprint(o.did) != "[shutdown 1m0s Bye]" {
		t.Errorf("%v", o.did)
	}
}

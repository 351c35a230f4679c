package command_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/xep/command"
	"parley/xmpp"
)

const romeo = "romeo@example.com/desk"

// clock is a time that a test sets.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1e9+c.seconds.Load(), 0) }

// everybody may run the commands of the tests.
func everybody(*router.Request) bool { return true }

// three is a command of three stages: two questions, and what came of them.
func three(ran func(string)) router.Command {
	ask := func(name string) *xmpp.Form {
		return &xmpp.Form{Title: name, Fields: []xmpp.Field{{Var: name, Type: "text-single", Required: true}}}
	}
	return router.Command{Node: "three", Name: "Three", May: everybody, Run: func(context.Context, *router.Request) (router.Stage, error) {
		return router.Stage{Form: ask("first"), Next: func(_ context.Context, _ *router.Request, one xmpp.Form) (router.Stage, error) {
			return router.Stage{Form: ask("second"), Last: true, Next: func(_ context.Context, _ *router.Request, two xmpp.Form) (router.Stage, error) {
				switch two.Value("second") {
				case "ours":
					return router.Stage{}, errors.New("the disk is on fire")
				case "yours":
					return router.Stage{}, &xmpp.FormError{Var: "second", Reason: "not this one"}
				case "panic":
					panic("in a step")
				}
				ran(one.Value("first") + two.Value("second"))
				return router.Stage{Notes: []router.Note{{Type: "info", Text: "done <&>"}}}, nil
			}}, nil
		}}, nil
	}}
}

// house has one command and somebody who runs it.
func house(t testing.TB, c *clock, commands ...router.Command) (*routertest.House, *routertest.Actor) {
	h := routertest.New(t, command.New(c.now), router.Feature{Name: "tests", Commands: commands})
	return h, h.Connected(romeo)
}

func request(node, rest, inner string) string {
	return `<iq to='example.com' id='q' type='set'><command xmlns='http://jabber.org/protocol/commands' node='` + node + `' ` + rest + `>` + inner + `</command></iq>`
}

func filled(name, value string) string {
	return `<x xmlns='jabber:x:data' type='submit'><field var='` + name + `'><value>` + value + `</value></field></x>`
}

// sessionOf returns the session id of an answer.
func sessionOf(st *xmpp.Stanza) string { return st.Payload().Attr("sessionid") }

// begins runs a command's first step and returns its session.
func begins(a *routertest.Actor, node string) string {
	a.Sends(request(node, "", ""))
	return sessionOf(a.Gets(`<iq type='result'>…</iq>`))
}

// refused is an error about a step of the command; id is what the step said, "" if nothing.
func refused(id, condition, app string) string {
	typ := map[string]string{"bad-request": "modify", "not-allowed": "cancel", "resource-constraint": "wait", "internal-server-error": "wait"}[condition]
	echo := `<command xmlns='http://jabber.org/protocol/commands' node='three'/>`
	if id != "" {
		echo = `<command xmlns='http://jabber.org/protocol/commands' node='three' sessionid='` + id + `'/>`
	}
	if len(id) > 256 {
		echo = ""
	}
	rest := "…"
	if app != "" {
		rest = `<` + app + ` xmlns='http://jabber.org/protocol/commands'/>`
	}
	return `<iq type='error'>` + echo + `<error type='` + typ + `'><` + condition + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` + rest + `</error></iq>`
}

func stage(id, actions, name string) string {
	return `<iq type='result'><command xmlns='http://jabber.org/protocol/commands' xml:lang='en' node='three' sessionid='` + id + `' status='executing'>` + actions +
		`<x xmlns='jabber:x:data' type='form'><title>` + name + `</title><field var='` + name + `' type='text-single'><required/></field></x></command></iq>`
}

const (
	onlyNext     = `<actions execute='next'><next/></actions>`
	prevComplete = `<actions execute='complete'><prev/><complete/></actions>`
)

// TestThereAndBack goes through the stages and back (XEP-0050 §2.4.2).
func TestThereAndBack(t *testing.T) {
	var ran []string
	_, a := house(t, &clock{}, three(func(s string) { ran = append(ran, s) }))
	a.Sends(request("three", "action='execute'", ""))
	id := sessionOf(a.Gets(stage("*", onlyNext, "first")))
	session := "sessionid='" + id + "' "
	a.Sends(request("three", session+"action='complete'", filled("first", "a")))
	a.Gets(refused(id, "bad-request", "bad-action"))
	a.Sends(request("three", session+"action='next'", filled("first", "a")))
	a.Gets(stage(id, prevComplete, "second"))
	a.Sends(request("three", session+"action='prev'", ""))
	a.Gets(stage(id, onlyNext, "first"))
	a.Sends(request("three", session, filled("first", "b")))
	a.Gets(stage(id, prevComplete, "second"))
	a.Sends(request("three", session+"action='next'", filled("second", "x")))
	a.Gets(refused(id, "bad-request", "bad-action"))

	// Whatever goes wrong in a step, the command is where it was.
	for value, want := range map[string]string{"ours": "internal-server-error", "yours": "bad-request"} {
		a.Sends(request("three", session, filled("second", value)))
		if value == "ours" { // nothing is said of it but whose fault it is
			a.Gets(`<iq type='error'><error type='wait'><` + want + ` xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
			continue
		}
		a.Gets(refused(id, want, ""))
	}
	a.Sends(request("three", session+"action='complete'", filled("second", "x")))
	a.Gets(`<iq type='result'><command xmlns='http://jabber.org/protocol/commands' xml:lang='en' node='three' sessionid='` + id + `' status='completed'><note type='info'>done &lt;&amp;&gt;</note></command></iq>`)
	a.Sends(request("three", session, filled("second", "x")))
	a.Gets(refused(id, "not-allowed", "session-expired"))
	if fmt.Sprint(ran) != "[bx]" {
		t.Errorf("the command ran with %v", ran)
	}
}

// TestAPanicEndsTheCommand and not the house.
func TestAPanicEndsTheCommand(t *testing.T) {
	_, a := house(t, &clock{}, three(func(string) {}))
	id := begins(a, "three")
	session := "sessionid='" + id + "' "
	a.Sends(request("three", session, filled("first", "a")))
	a.Gets(`<iq type='result'>…</iq>`)
	a.Sends(request("three", session, filled("second", "panic")))
	a.Gets(`<iq type='error'><error type='wait'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
	a.Sends(request("three", session, filled("second", "x")))
	a.Gets(refused(id, "not-allowed", "session-expired"))
	begins(a, "three")
}

// TestSessionsOfOthers tries whatever somebody else could do with a session id.
func TestSessionsOfOthers(t *testing.T) {
	h, a := house(t, &clock{}, three(func(string) { t.Error("it ran") }))
	id := begins(a, "three")
	if nonce, _, _ := strings.Cut(id, "."); len(nonce) < 26 { // of 32 letters: 128 bits and more
		t.Errorf("the id %s can be guessed", id)
	}
	for _, who := range []*routertest.Actor{h.Connected("romeo@example.com/phone"), h.Connected("tybalt@example.com/desk")} {
		for _, action := range []string{"cancel", "prev", "next", "execute"} {
			who.Sends(request("three", "action='"+action+"' sessionid='"+id+"'", filled("first", "a")))
			who.Gets(refused(id, "bad-request", "bad-sessionid"))
		}
	}
	for _, forged := range []string{"x", ".", id + "x", id[1:], strings.Repeat("x", 5000), strings.ToUpper(id)} {
		a.Sends(request("three", "action='cancel' sessionid='"+forged+"'", ""))
		a.Gets(refused(forged, "bad-request", "bad-sessionid"))
	}
	a.Sends(request("three", "sessionid='"+id+"'", filled("first", "a"))) // it is unharmed
	a.Gets(`<iq type='result'>…</iq>`)
	a.Leaves()
	again := h.Connected(romeo) // the same address is the same asker
	again.Sends(request("three", "action='cancel' sessionid='"+id+"'", ""))
	again.Gets(`<iq type='result'>…</iq>`)
}

func TestSessionsTimeOut(t *testing.T) {
	c := &clock{}
	_, a := house(t, c, three(func(string) {}))
	id := begins(a, "three")
	c.seconds.Add(599)
	a.Sends(request("three", "sessionid='"+id+"'", filled("first", "a"))) // each step begins the time anew
	a.Gets(`<iq type='result'>…</iq>`)
	c.seconds.Add(599)
	a.Sends(request("three", "action='prev' sessionid='"+id+"'", ""))
	a.Gets(`<iq type='result'>…</iq>`)
	c.seconds.Add(601)
	a.Sends(request("three", "action='prev' sessionid='"+id+"'", ""))
	a.Gets(refused(id, "not-allowed", "session-expired"))
}

// TestThousandsOfSessions begins commands and never ends them, as one account, and as many.
func TestThousandsOfSessions(t *testing.T) {
	c := &clock{}
	h, a := house(t, c, three(func(string) {}))
	first, second := begins(a, "three"), begins(a, "three")
	for range 15 {
		begins(a, "three")
	}
	a.Sends(request("three", "action='cancel' sessionid='"+first+"'", ""))
	a.Gets(refused(first, "not-allowed", "session-expired")) // it has made room
	a.Sends(request("three", "action='cancel' sessionid='"+second+"'", ""))
	a.Gets(`<iq type='result'>…</iq>`)
	for i := range 4096/16 + 1 {
		who := h.Connected(fmt.Sprintf("user%d@example.com/desk", i))
		for range 16 {
			who.Sends(request("three", "", ""))
			if st := who.Hears(); st.Type != "result" && xmpp.ErrorOf(st).Condition != "resource-constraint" {
				t.Fatalf("%s", st)
			}
		}
		who.Leaves()
	}
	late := h.Connected("late@example.com/desk")
	late.Sends(request("three", "", ""))
	late.Gets(refused("", "resource-constraint", ""))
	c.seconds.Add(601)
	begins(late, "three") // those that timed out make room
}

// BenchmarkCommand goes through a command of two forms.
func BenchmarkCommand(b *testing.B) {
	_, a := house(b, &clock{}, three(func(string) {}))
	for b.Loop() {
		session := "sessionid='" + begins(a, "three") + "'"
		for _, name := range []string{"first", "second"} {
			a.Sends(request("three", session, filled(name, "x")))
			if st := a.Hears(); st.Type != "result" {
				b.Fatal(st)
			}
		}
	}
}

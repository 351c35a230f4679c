package roster

import (
	"strings"
	"testing"
)

// appendixA is a second reading of RFC 6121 §A.2 and §A.3, table by table, in the words of
// the tables: N none, T to, F from, B both, +o pending out, +i pending in; "=" is no state
// change. What the notes add: appr is a pre-approval, auto an answer for the user.
const appendixA = `
out subscribe
N     MUST  N+o
N+o   MUST  =
N+i   MUST  N+oi
N+oi  MUST  =
T     MUST  =
T+i   MUST  =
F     MUST  F+o
F+o   MUST  =
B     MUST  =
out unsubscribe
N     MUST  =
N+o   MUST  N
N+i   MUST  =
N+oi  MUST  N+i
T     MUST  N
T+i   MUST  N+i
F     MUST  =
F+o   MUST  F
B     MUST  F
out subscribed
N     M.N. = appr
N+o   M.N. = appr
N+i   MUST  F
N+oi  MUST  F+o
T     M.N. = appr
T+i   MUST  B
F     M.N. =
F+o   M.N. =
B     M.N. =
out unsubscribed
N     S.N. =
N+o   S.N. =
N+i   MUST  N
N+oi  MUST  N+o
T     S.N. =
T+i   MUST  T
F     MUST  N
F+o   MUST  N+o
B     MUST  T
in subscribe
N     MUST  N+i
N+o   MUST  N+oi
N+i   S.N. =
N+oi  S.N. =
T     MUST  T+i
T+i   S.N. =
F     S.N. = auto
F+o   S.N. = auto
B     S.N. = auto
in unsubscribe
N     S.N. =
N+o   S.N. =
N+i   MUST  N   auto
N+oi  MUST  N+o auto
T     S.N. =
T+i   MUST  T   auto
F     MUST  N   auto
F+o   MUST  N+o auto
B     MUST  T   auto
in subscribed
N     S.N. =
N+o   MUST  T
N+i   S.N. =
N+oi  MUST  T+i
T     S.N. =
T+i   S.N. =
F     S.N. =
F+o   MUST  B
B     S.N. =
in unsubscribed
N     S.N. =
N+o   MUST  N
N+i   S.N. =
N+oi  MUST  N+i
T     MUST  N
T+i   MUST  N+i
F     S.N. =
F+o   MUST  F
B     MUST  F
`

var shortNames = map[string]state{
	"N": none, "N+o": nonePendingOut, "N+i": nonePendingIn, "N+oi": nonePendingOutIn,
	"T": to, "T+i": toPendingIn, "F": from, "F+o": fromPendingOut, "B": both,
}

// A reading is one line of appendixA.
type reading struct {
	out  bool
	verb verb
	was  state
	pass bool
	next state
	note string
}

func readAppendix(t *testing.T) (list []reading) {
	t.Helper()
	var r reading
	for line := range strings.Lines(appendixA) {
		w := strings.Fields(line)
		switch {
		case len(w) == 0:
			continue
		case w[0] == "out" || w[0] == "in":
			v, ok := verbOf(w[1])
			if !ok {
				t.Fatal(line)
			}
			r = reading{out: w[0] == "out", verb: v}
			continue
		}
		was, ok := shortNames[w[0]]
		next, known := shortNames[w[2]]
		if !ok || !known && w[2] != "=" {
			t.Fatal(line)
		}
		if r.was, r.next, r.pass, r.note = was, next, w[1] == "MUST", ""; w[2] == "=" {
			r.next = was
		}
		if len(w) > 3 {
			r.note = w[3]
		}
		list = append(list, r)
	}
	if len(list) != 2*verbs*states {
		t.Fatalf("%d lines", len(list))
	}
	return list
}

func (r reading) act() act {
	switch {
	case r.note == "appr":
		return approve
	case r.note == "auto" && r.verb == subscribe:
		return accept
	case r.note == "auto":
		return release
	case r.pass:
		return pass
	}
	return stop
}

// TestTables compares the tables with the second reading.
func TestTables(t *testing.T) {
	for _, r := range readAppendix(t) {
		got := inbound[r.verb][r.was]
		if r.out {
			got = outbound[r.verb][r.was]
		}
		if want := (row{r.act(), r.next}); got != want {
			t.Errorf("out=%v %s in state %d: %v instead of %v", r.out, r.verb, r.was, got, want)
		}
	}
}

// TestApproved: a request of a pre-approved contact leads to where a request and its
// approval lead together (RFC 6121 §3.4.2), and is never shown.
func TestApproved(t *testing.T) {
	for s := none; s < states; s++ {
		asked := inbound[subscribe][s].next
		want := row{accept, outbound[subscribed][asked].next}
		if got := inboundApproved[s]; got != want {
			t.Errorf("state %d: %v instead of %v", s, got, want)
		}
	}
}

// TestStateOf: the attributes of an item and a request say what the state is; what no
// state has is read as the less.
func TestStateOf(t *testing.T) {
	for s := none; s < states; s++ {
		if got := stateOf(s.subscription(), s.ask(), s.pendingIn()); got != s {
			t.Errorf("state %d is read as %d", s, got)
		}
	}
	for _, c := range []struct {
		subscription, ask string
		requested         bool
		want              state
	}{
		{"both", "subscribe", true, both}, {"from", "", true, from}, {"from", "subscribe", true, fromPendingOut},
		{"to", "subscribe", false, to}, {"?", "", false, none},
	} {
		if got := stateOf(c.subscription, c.ask, c.requested); got != c.want {
			t.Errorf("%v is read as %d", c, got)
		}
	}
}

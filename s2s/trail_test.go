package s2s

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestTrail(t *testing.T) {
	var none *Trail
	none.Note(StageDNS, "nothing")
	none.Fail(StageDNS, "nothing")
	if none.Steps() != nil || none.String() != "" {
		t.Error("a nil trail notes something")
	}
	var tr Trail
	tr.Note(StageDNS, "found %d\r\nForged: \x1b[31mline\u202e", 3)
	tr.Fail(StageConnect, "%s", strings.Repeat("ä", MaxTrailText))
	steps := tr.Steps()
	if len(steps) != 2 || steps[0].Failed || !steps[1].Failed || steps[0].Stage != StageDNS || steps[0].At.IsZero() {
		t.Fatalf("%+v", steps)
	}
	if got, want := steps[0].Text, "found 3??Forged: ?[31mline?"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if n := len(steps[1].Text); n > MaxTrailText || n < MaxTrailText-4 {
		t.Errorf("a text of %d bytes", n)
	}
	if s := tr.String(); !strings.HasPrefix(s, "dns: found 3") || !strings.Contains(s, "; connect failed: ä") {
		t.Error(s)
	}
}

// The beginning stays, since it says how all came about, and so does the end.
func TestTrailIsBounded(t *testing.T) {
	var tr Trail
	var wg sync.WaitGroup
	for i := range 10 {
		tr.Note(StageDNS, "first %d", i)
	}
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				tr.Note(StageTLS, "step %d", i)
				_ = tr.String()
			}
		})
	}
	wg.Wait()
	tr.Fail(StagePolicy, "last")
	steps := tr.Steps()
	if len(steps) != MaxTrailSteps {
		t.Fatalf("%d steps", len(steps))
	}
	for i := range 10 {
		if steps[i].Text != fmt.Sprintf("first %d", i) {
			t.Errorf("step %d is %q", i, steps[i].Text)
		}
	}
	if steps[MaxTrailSteps-1].Text != "last" {
		t.Error("the last step is not there")
	}
	if s := tr.String(); !strings.Contains(s, fmt.Sprintf("(%d steps left out)", 8011-MaxTrailSteps)) {
		t.Error("it is not said that steps are missing")
	}
}

// TestPathOfStreams wants each side to tell how a stream that lives came to be.
func TestPathOfStreams(t *testing.T) {
	a, b := two(t, nil, true)
	ann, bob := a.Online("ann@a.example/1"), b.Online("bob@b.example/2")
	ann.Says(hello)
	wants(t, bob, helloHeard)
	for h, stages := range map[*house][]string{a: {StageRoute, StageConnect, StageTLS, StageCertificate, StageProof}, b: {StageCertificate}} {
		for _, l := range h.Links() {
			for _, stage := range stages {
				if (l.Direction == "out") == (h == a) && !slices.ContainsFunc(l.Path, func(s Step) bool { return s.Stage == stage }) {
					t.Errorf("%s %s: the path does not tell of %s: %v", l.Local, l.Direction, stage, l.Path)
				}
			}
		}
	}
}

// Package s2s is the door to other servers: whom to connect to, whom to believe, and the
// streams between servers (RFC 6120).
package s2s

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

// What a step of a trail is about.
const (
	StageRoute       = "route"       // static routes
	StageDNS         = "dns"         // queries and what they found
	StageConnect     = "connect"     // TCP
	StageTLS         = "tls"         // the handshake; noted by the stream
	StageCertificate = "certificate" // PKIX, and what the other side showed
	StageDANE        = "dane"        // TLSA records
	StagePOSH        = "posh"        // documents fetched by HTTPS
	StagePolicy      = "policy"      // our own rules
)

const (
	// MaxTrailSteps is how many steps a trail keeps: the first half of them and the latest.
	MaxTrailSteps = 64
	// MaxTrailText bounds the text of a step, in bytes.
	MaxTrailText = 512
)

// A Step is one thing that happened on the way to a domain.
type Step struct {
	At     time.Time `json:"at"`
	Stage  string    `json:"stage"`            // one of the Stage constants
	Text   string    `json:"text"`             // plain words, on one line
	Failed bool      `json:"failed,omitempty"` // this did not work
}

// A Trail tells people what happened on the way to a domain. The zero value is ready, all
// methods may be called at the same time, and a nil *Trail notes nothing.
type Trail struct {
	mu    sync.Mutex // a leaf
	steps []Step
	left  int // steps that were left out, behind the first half
}

// Note adds a step that went well, or that is merely good to know.
func (t *Trail) Note(stage, format string, args ...any) { t.add(stage, false, format, args) }

// Fail adds a step that did not work.
func (t *Trail) Fail(stage, format string, args ...any) { t.add(stage, true, format, args) }

func (t *Trail) add(stage string, failed bool, format string, args []any) {
	if t == nil {
		return
	}
	s := Step{At: time.Now(), Stage: stage, Text: oneLine(fmt.Sprintf(format, args...)), Failed: failed}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) == MaxTrailSteps {
		const half = MaxTrailSteps / 2
		copy(t.steps[half:], t.steps[half+1:])
		t.steps = t.steps[:MaxTrailSteps-1]
		t.left++
	}
	t.steps = append(t.steps, s)
}

// Steps returns the steps so far, in their order. Where there were more than MaxTrailSteps,
// those behind the first half of them are missing.
func (t *Trail) Steps() []Step {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Step(nil), t.steps...)
}

// String is the trail on one line, for logs: "dns: ...; connect failed: ...".
func (t *Trail) String() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for i, s := range t.steps {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == MaxTrailSteps/2 && t.left > 0 {
			fmt.Fprintf(&b, "(%d steps left out); ", t.left)
		}
		b.WriteString(s.Stage)
		if s.Failed {
			b.WriteString(" failed")
		}
		b.WriteString(": " + s.Text)
	}
	return b.String()
}

// oneLine makes a text that came from anywhere fit for a log: what cannot be printed is
// replaced, and it has an end.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	return cut(s, MaxTrailText)
}

// cut shortens a text to at most n bytes, at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const dots = "..."
	return strings.ToValidUTF8(s[:n-len(dots)], "") + dots
}

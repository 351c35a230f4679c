package bytestreams_test

import (
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/bytestreams"
)

// TestCrowd has a few addresses take all places there are, silently or each with a hash of its own:
// whoever else comes has a place all the same.
func TestCrowd(t *testing.T) {
	for _, shown := range []bool{false, true} {
		t.Run("shown="+strconv.FormatBool(shown), func(t *testing.T) {
			h := open(t, bytestreams.Settings{})
			places := 128
			if shown {
				places = 512
			}
			for i := range places {
				from := fmt.Sprintf("127.0.%d.1", 1+i/16)
				if !shown {
					h.dialsFrom(from)
				} else if _, code := h.showsFrom(from, hashOf(strconv.Itoa(i), "x", "y")); code != 0 {
					t.Fatalf("place %d: %d", i, code)
				}
			}
			routertest.Eventually(t, "all places are taken", func() bool { return h.Stats().Waiting.Load() == int64(places) })
			mine, other := h.joined(h.Connected(romeo), "1", juliet)
			go io.WriteString(mine, "hello")
			h.reads(other, "hello")
			if n := h.Stats().Waiting.Load(); n >= int64(places) {
				t.Errorf("%d wait", n)
			}
			if n := h.Stats().Refused.Load(); n < 1 || n > 2 {
				t.Errorf("%d had to give way", n)
			}
		})
	}
}

// TestOneNetwork has neighbours count together, and leave the places of others alone.
func TestOneNetwork(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	for i := range 64 {
		h.dialsFrom(fmt.Sprintf("127.0.7.%d", 1+i/8))
	}
	routertest.Eventually(t, "they wait", func() bool { return h.Stats().Waiting.Load() == 64 })
	h.closed(h.dialsFrom("127.0.7.200"))
	h.shows(hashOf("1", romeo, juliet))
}

// TestSilent is who connects and does not say for what.
func TestSilent(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	nc := h.dials()
	begin := time.Now()
	h.closed(nc)
	if d := time.Since(begin); d < 4*time.Second || d > 20*time.Second {
		t.Errorf("it ends after %v", d)
	}
}

// TestRateOverStreams has a user begin again and again: no stream gains anything by being the first.
func TestRateOverStreams(t *testing.T) {
	h := open(t, bytestreams.Settings{Rate: 1 << 20})
	a := h.Connected(romeo)
	begin := time.Now()
	for i := range 8 {
		mine, other := h.joined(a, strconv.Itoa(i), juliet)
		go mine.Write(make([]byte, 64<<10))
		if _, err := io.ReadFull(other, make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		mine.Close()
		other.Close()
		routertest.Eventually(t, "it has ended", func() bool { return h.Stats().Open.Load() == 0 })
	}
	if d := time.Since(begin); d < 450*time.Millisecond {
		t.Errorf("512 KiB at 1 MiB/s took %v", d)
	}
}

package bytestreams_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
	"parley/xep/bytestreams"
)

// TestStream carries bytes both ways, and their ends one by one.
func TestStream(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	a := h.Connected(romeo)
	mine, other := h.joined(a, "vxf9n471bn46", "target@example.org/bar")
	io.WriteString(mine, "a file")
	h.reads(other, "a file")
	io.WriteString(other, "thanks")
	h.reads(mine, "thanks")
	large := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{}).Read(large)
	go func() {
		mine.Write(large)
		mine.CloseWrite()
	}()
	got, err := io.ReadAll(other)
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	io.WriteString(other, "got it")
	other.CloseWrite()
	h.reads(mine, "got it")
	h.closed(mine)
	s := h.Stats()
	routertest.Eventually(t, "the stream has ended", func() bool { return s.Open.Load() == 0 })
	if s.Streams.Load() != 1 || s.Bytes.Load() != int64(len(large)+18) || s.Accepted.Load() != 2 || s.Refused.Load() != 0 {
		t.Errorf("%+v", s)
	}
	// A requester known by the bare address, and a target by another spelling (XEP-0065 §10.1).
	hash := hashOf("s", "romeo@example.com", "Target@Example.org/bar")
	one, _ := h.shows(strings.ToUpper(hash))
	two, _ := h.shows(hash)
	a.Sends(activate("s", "Target@Example.org/bar"))
	a.Gets(`<iq type='result' id='a'/>`)
	io.WriteString(two, "x")
	h.reads(one, "x")
}

// TestWhatComesTooEarly is ignored (XEP-0065 §10.1).
func TestWhatComesTooEarly(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	a := h.Connected(romeo)
	hash := hashOf("s", romeo, juliet)
	one, _ := h.shows(hash)
	two, _ := h.shows(hash)
	io.WriteString(one, "too early")
	time.Sleep(50 * time.Millisecond)
	a.Sends(activate("s", juliet))
	a.Gets(`<iq type='result' id='a'/>`)
	io.WriteString(one, "in time")
	h.reads(two, "in time")
	flood, _ := h.shows(hashOf("f", romeo, juliet))
	for err := error(nil); err == nil; { // until it is cut off
		_, err = flood.Write(make([]byte, 1<<10))
	}
}

// TestActivation: each way in which it cannot be (XEP-0065 §6.3.5).
func TestActivation(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	a, b := h.Connected(romeo), h.Connected(juliet)
	a.Sends(activate("s", juliet))
	a.Gets(refusal("cancel", "item-not-found"))
	hash := hashOf("s", romeo, juliet)
	one, _ := h.shows(hash)
	a.Sends(activate("s", juliet))
	a.Gets(refusal("cancel", "not-allowed"))
	two, _ := h.shows(hash)
	third, code := h.shows(hash)
	if code != 2 {
		t.Errorf("a third is answered with %d", code)
	}
	h.closed(third)
	b.Sends(activate("s", juliet)) // another requester
	b.Gets(refusal("cancel", "item-not-found"))
	a.Sends(activate("t", juliet))
	a.Gets(refusal("cancel", "item-not-found"))
	for _, wrong := range []string{activate("", juliet), activate("s", ""), activate("s", "@"), activate(strings.Repeat("s", 2000), juliet)} {
		a.Sends(wrong)
		a.Gets(refusal("modify", "bad-request"))
	}
	a.Sends(activate("s", juliet))
	a.Gets(`<iq type='result' id='a'/>`)
	io.WriteString(one, "x")
	h.reads(two, "x")
	a.Sends(activate("s", juliet)) // once
	a.Gets(refusal("cancel", "item-not-found"))
	gone, _ := h.shows(hashOf("g", romeo, juliet))
	gone.Close()
	routertest.Eventually(t, "who has left does not wait", func() bool { return h.Stats().Waiting.Load() == 0 })
	a.Sends(activate("g", juliet))
	a.Gets(refusal("cancel", "item-not-found"))
}

// TestNotForStrangers: who is no user of this server is not told where the proxy is, and has
// nothing activated (security: no open proxy).
func TestNotForStrangers(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	stranger := h.Service("other.example.org")
	for _, from := range []string{"nick@other.example.org/x", "other.example.org"} {
		hash := hashOf("s", from, juliet)
		h.shows(hash)
		h.shows(hash)
		stranger.Sends(`<iq from='` + from + `' type='get' id='a' to='proxy.example.com'><query xmlns='http://jabber.org/protocol/bytestreams'/></iq>`)
		stranger.Gets(refusal("auth", "forbidden"))
		stranger.Sends(`<iq from='` + from + `' type='set' id='a' to='proxy.example.com'><query xmlns='http://jabber.org/protocol/bytestreams' sid='s'><activate>` + juliet + `</activate></query></iq>`)
		stranger.Gets(refusal("auth", "forbidden"))
	}
	if n := h.Stats().Streams.Load(); n != 0 {
		t.Errorf("%d streams", n)
	}
}

// TestLimits: streams at a time, of one user and of all; waiting connections of one address; how
// fast, and how long nothing comes.
func TestLimits(t *testing.T) {
	h := open(t, bytestreams.Settings{Streams: 3, PerUser: 2, Rate: 1 << 20, Idle: 500 * time.Millisecond})
	a, b := h.Connected(romeo), h.Connected(juliet)
	h.set.Store(&bytestreams.Settings{Streams: 3, PerUser: 2, Rate: 1 << 20, Idle: time.Minute})
	one, uno := h.joined(a, "1", juliet)
	two, due := h.joined(a, "2", juliet)
	h.shows(hashOf("3", romeo, juliet))
	h.shows(hashOf("3", romeo, juliet))
	a.Sends(activate("3", juliet))
	a.Gets(refusal("wait", "resource-constraint"))
	three, tre := h.joined(b, "1", romeo)
	h.shows(hashOf("2", juliet, romeo))
	h.shows(hashOf("2", juliet, romeo))
	b.Sends(activate("2", romeo))
	b.Gets(refusal("wait", "resource-constraint"))
	for _, nc := range []io.Closer{one, two, three, uno, due, tre} {
		nc.Close()
	}
	routertest.Eventually(t, "streams have ended", func() bool { return h.Stats().Open.Load() == 0 })
	a.Sends(activate("3", juliet)) // it has waited
	a.Gets(`<iq type='result' id='a'/>`)
	begin := time.Now()
	mine, other := h.joined(a, "4", juliet)
	go mine.Write(make([]byte, 1<<20))
	if _, err := io.ReadFull(other, make([]byte, 1<<20)); err != nil || time.Since(begin) < 900*time.Millisecond {
		t.Errorf("1 MiB at 1 MiB/s takes %s: %v", time.Since(begin), err)
	}
	h.set.Store(&bytestreams.Settings{Idle: time.Second})
	silent, other2 := h.joined(b, "5", romeo)
	for range 6 { // one way alone is enough
		time.Sleep(300 * time.Millisecond)
		io.WriteString(other2, "x")
		h.reads(silent, "x")
	}
	h.closed(silent)
	var waiting []io.Closer
	for i := range 20 {
		nc := h.dials()
		waiting = append(waiting, nc)
		if i >= 16 {
			h.closed(nc)
		}
	}
	for _, nc := range waiting {
		nc.Close()
	}
}

// TestShutdown ends what is under way.
func TestShutdown(t *testing.T) {
	h := open(t, bytestreams.Settings{Rate: 1})
	mine, other := h.joined(h.Connected(romeo), "1", juliet)
	waiting, _ := h.shows(hashOf("2", romeo, juliet))
	io.WriteString(mine, strings.Repeat("slowly", 100))
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	h.closed(waiting)
	io.Copy(io.Discard, other)
}

// TestNotSOCKS: whatever is no SOCKS5 with a hash is cut off, and leads nowhere.
func TestNotSOCKS(t *testing.T) {
	h := open(t, bytestreams.Settings{})
	for text, answer := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n": "", "\x04\x01": "", "\x05\x00": "\x05\xff", "\x05\x01\x02": "\x05\xff", "\x05\x02\x01\x02": "\x05\xff",
		"\x05\x01\x00\x05\x02\x00\x03":                                            "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", // BIND
		"\x05\x01\x00\x05\x03\x00\x03":                                            "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", // UDP
		"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50":                    "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", // to 127.0.0.1
		"\x05\x01\x00\x05\x01\x00\x03\x09localhost\x00\x50":                       "\x05\x00\x05\x02\x00\x03\x09localhost\x00\x50",
		"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50":                                "\x05\x00\x05\x02\x00\x03\x00\x00\x50",
		"\x05\x01\x00\x05\x01\x00\x03\x28" + strings.Repeat("g", 40) + "\x00\x00": "\x05\x00\x05\x02\x00\x03\x28" + strings.Repeat("g", 40) + "\x00\x00",
		"\x05\x01\x00\x04\x01\x00\x03":                                            "\x05\x00",
	} {
		nc := h.dials()
		io.WriteString(nc, text)
		h.reads(nc, answer)
		h.closed(nc)
	}
}

package xmpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var maskKey = [4]byte{0xDE, 0xAD, 0xBE, 0xEF}

// masked writes a client's frame.
func masked(first byte, payload string) []byte {
	b := appendFrame(nil, first&0x0F, []byte(payload))
	b[0], b[1] = first, b[1]|0x80
	at := len(b) - len(payload)
	out := append(append(append([]byte{}, b[:at]...), maskKey[:]...), payload...)
	for i := range len(payload) {
		out[at+4+i] ^= maskKey[i&3]
	}
	return out
}

func text(payload string) []byte { return masked(0x81, payload) }

// socketPair is a WebSocket and its client's connection.
func socketPair(t testing.TB, ahead []byte) (*Stream, *WebSocket, *net.TCPConn) {
	tr, client := pipe(t)
	w := NewWebSocket(tr, ahead)
	return NewStream(w, NSClient, true, Limits{Stanza: 10000}), w, client
}

// heard reads the frames of the server until its Close frame.
func heard(t testing.TB, client io.Reader) (list []string, status int) {
	t.Helper()
	for {
		var h [2]byte
		if _, err := io.ReadFull(client, h[:]); err != nil {
			return append(list, err.Error()), 0
		}
		n := int(h[1] & 0x7F)
		if n == 126 {
			var l [2]byte
			io.ReadFull(client, l[:])
			n = int(binary.BigEndian.Uint16(l[:]))
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(client, b); err != nil {
			t.Fatal(err)
		}
		switch {
		case h[1]&0x80 != 0 || h[0]&0x80 == 0:
			t.Fatalf("a server's frame begins with %x", h)
		case h[0]&0x0F == opClose:
			return list, int(binary.BigEndian.Uint16(b))
		case h[0]&0x0F == opPong:
			list = append(list, "pong "+string(b))
		default:
			list = append(list, string(b))
		}
	}
}

const openXML = `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>`

// TestWebSocketFrames: however a client cuts its messages into frames, and its frames into
// packets, the stream is the same (RFC 6455 §5.4).
func TestWebSocketFrames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, w, client := socketPair(t, nil)
		defer client.Close()
		var bodies []string
		var raw []byte
		frames := func(message string) {
			first := byte(opText)
			for {
				n := rapid.IntRange(0, len(message)).Draw(rt, "cut")
				last := byte(0)
				if n == len(message) && rapid.Bool().Draw(rt, "last") {
					last = 0x80
				}
				raw = append(raw, masked(first|last, message[:n])...)
				if rapid.IntRange(0, 3).Draw(rt, "ping") == 0 {
					raw = append(raw, masked(0x89, "are you there")...)
				}
				if message, first = message[n:], opContinuation; last != 0 {
					return
				}
			}
		}
		frames(openXML)
		for range rapid.IntRange(1, 4).Draw(rt, "stanzas") {
			body := strings.Repeat("ä", rapid.SampledFrom([]int{0, 1, 30, 60, 70, 500, 4000}).Draw(rt, "length"))
			bodies = append(bodies, body)
			frames("<message xmlns='jabber:client'><body>" + body + "</body></message>")
		}
		ahead := rapid.IntRange(0, min(len(raw), 5000)).Draw(rt, "ahead")
		w.buf, w.at, w.end = nil, 0, 0
		if ahead > 0 {
			*w = *NewWebSocket(w.TCP, raw[:ahead])
		}
		go func() {
			for rest := raw[ahead:]; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)/3)
				client.Write(rest[:n])
				rest = rest[n:]
			}
		}()
		h, err := s.Header()
		if err != nil || h.To != "example.com" || h.Major != 1 {
			rt.Fatalf("%+v %v", h, err)
		}
		for _, body := range bodies {
			st, err := s.Await()
			if err != nil || st.Child(NSClient, "body").Text() != body && st.Child("", "body").Text() != body {
				rt.Fatalf("%v %v", st, err)
			}
		}
		for w.message { // the last frame of the last one may be empty
			if _, err := s.Next(); !errors.Is(err, ErrMore) || w.message && w.Wait() != nil {
				rt.Fatal("the last message does not end")
			}
		}
		if s.Pending() {
			rt.Fatal("something is left")
		}
	})
}

// TestHostileFrames: security.md 55.
func TestHostileFrames(t *testing.T) {
	long := strings.Repeat("x", 126)
	for name, test := range map[string]struct {
		raw       []byte
		status    int
		condition string
	}{
		"unmasked":                    {appendFrame(nil, opText, []byte(openXML)), closeProtocol, "policy-violation"},
		"reserved bit":                {masked(0xC1, openXML), closeProtocol, "policy-violation"},
		"binary":                      {masked(0x82, openXML), closeUnsupported, "policy-violation"},
		"unknown opcode":              {masked(0x83, openXML), closeProtocol, "policy-violation"},
		"unknown control":             {masked(0x8B, ""), closeProtocol, "policy-violation"},
		"continuation of nothing":     {masked(0x80, openXML), closeProtocol, "policy-violation"},
		"a message in a message":      {append(masked(0x01, "<open"), text(openXML)...), closeProtocol, "policy-violation"},
		"a long ping":                 {masked(0x89, long), closeProtocol, "policy-violation"},
		"a fragmented ping":           {masked(0x09, "x"), closeProtocol, "policy-violation"},
		"a length of 2^63":            {[]byte{0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, closeProtocol, "policy-violation"},
		"a length written too long":   {[]byte{0x81, 0xFE, 0, 5, 1, 2, 3, 4}, closeProtocol, "policy-violation"},
		"half an element":             {text("<open "), closeNormal, "bad-format"},
		"no element":                  {text("x"), closeNormal, "bad-format"},
		"another namespace":           {text("<open xmlns='jabber:client' to='example.com' version='1.0'/>"), closeNormal, "invalid-namespace"},
		"a stanza first":              {text("<presence xmlns='jabber:client'/>"), closeNormal, "bad-format"},
		"a stream header as over TCP": {text("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' to='example.com' version='1.0'>"), closeNormal, "bad-format"},
		"too much in one frame":       {text("<open xmlns='" + strings.Repeat("x", 20000) + "'/>"), closeNormal, "policy-violation"},
		"too much in many frames":     {append(masked(0x01, "<open a='"), bytes.Repeat(masked(0x00, long), 200)...), closeNormal, "policy-violation"},
		"nothing, again and again":    {append(masked(0x01, "<open"), bytes.Repeat(masked(0x00, ""), 2000)...), closePolicy, "policy-violation"},
		"pings, again and again":      {bytes.Repeat(masked(0x89, ""), 2000), closePolicy, "policy-violation"},
		"no UTF-8":                    {text("<open xmlns='\xFF'/>"), closeNormal, "not-well-formed"},
		"a document type":             {text("<!DOCTYPE a [<!ENTITY b 'c'>]><open/>"), closeNormal, "restricted-xml"},
	} {
		t.Run(name, func(t *testing.T) {
			s, w, client := socketPair(t, nil)
			go client.Write(test.raw)
			_, err := s.Header()
			var wrong *StreamError
			if !errors.As(err, &wrong) || wrong.Condition != test.condition {
				t.Fatalf("%v, not %s", err, test.condition)
			}
			w.Write(s.AppendClose(nil, wrong))
			s.Close(time.Second)
			list, status := heard(t, client)
			for len(list) > 0 && strings.HasPrefix(list[0], "pong") {
				list = list[1:]
			}
			if status != test.status || len(list) != 2 || !strings.HasPrefix(list[0], "<stream:error xmlns:stream=") || list[1] != "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>" {
				t.Errorf("%d %q", status, list)
			}
		})
	}
}

// TestWebSocketClose: RFC 6455 §5.5.1. What comes behind a Close frame is nothing.
func TestWebSocketClose(t *testing.T) {
	s, w, client := socketPair(t, append(text(openXML), masked(0x89, "hello")...))
	client.Write(append(masked(0x88, "\x03\xE9bye"), text("<presence xmlns='jabber:client'/>")...))
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Await(); !errors.Is(err, io.EOF) || s.Ended() {
		t.Fatalf("%v %v", st, err)
	}
	if err := w.Write([]byte("<presence/>")); err == nil {
		t.Error("something is said behind the end")
	}
	w.Close(time.Second)
	if list, status := heard(t, client); status != 1001 || len(list) != 1 || list[0] != "pong hello" {
		t.Errorf("%d %q", status, list)
	}
}

// TestMessagesAreElements: each element leaves in a message of its own (RFC 7395 §3.3.3).
func TestMessagesAreElements(t *testing.T) {
	parts := []string{
		"<a xmlns='b'/>", "<a x='>' y=\"</a>\"><b/><c>d</c></a>", "<message xmlns='jabber:client'><body><![CDATA[</message><x>]]></body></message>",
		"<r xmlns='urn:xmpp:sm:3'/>", "<body>" + strings.Repeat("ü", 40000) + "</body>", "<stream:features xmlns:stream='s'></stream:features>",
	}
	_, w, client := socketPair(t, nil)
	go func() {
		w.Write([]byte(strings.Join(parts, "")))
		w.Close(0)
	}()
	client.SetReadDeadline(time.Now().Add(5 * time.Second))
	raw, _ := io.ReadAll(client)
	var got []string
	for len(raw) > 0 && raw[0] == 0x81 {
		n, at := int(raw[1]), 2
		switch n {
		case 126:
			n, at = int(binary.BigEndian.Uint16(raw[2:])), 4
		case 127:
			n, at = int(binary.BigEndian.Uint64(raw[2:])), 10
		}
		got = append(got, string(raw[at:at+n]))
		raw = raw[at+n:]
	}
	if len(got) != len(parts) {
		t.Fatalf("%d messages of %d", len(got), len(parts))
	}
	for i := range parts {
		if got[i] != parts[i] {
			t.Errorf("%.80q, not %.80q", got[i], parts[i])
		}
	}
}

// FuzzElementLen: our own output is well-formed, but what is cut must never hang or go beyond.
func FuzzElementLen(f *testing.F) {
	f.Add([]byte("<a b='>'><![CDATA[x]]></a><b/>"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if n := ElementLen(p); len(p) > 0 && (n <= 0 || n > len(p)) {
			t.Errorf("%d of %d", n, len(p))
		}
	})
}

// FuzzWebSocket: whatever a client sends, the reader ends or waits.
func FuzzWebSocket(f *testing.F) {
	f.Add(append(text(openXML), masked(0x89, "x")...))
	f.Add(appendFrame(nil, opText, []byte(openXML)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, _, client := socketPair(t, nil)
		client.Write(raw)
		client.CloseWrite()
		for {
			if _, err := s.Header(); err != nil {
				break
			}
		}
		client.Close()
	})
}

func BenchmarkWebSocketWrite(b *testing.B) {
	_, w, client := socketPair(b, nil)
	go io.Copy(io.Discard, client)
	st := []byte("<message xmlns='jabber:client' from='juliet@example.com/balcony' to='romeo@example.com/orchard' type='chat' id='x'><body>" + strings.Repeat("x", 120) + "</body></message>")
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(st); err != nil {
			b.Fatal(err)
		}
	}
}

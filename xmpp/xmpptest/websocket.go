package xmpptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parley/xmpp"
)

// A messages is a stream in a WebSocket (RFC 7395) that looks like one over TCP: what is
// written is cut into messages, what is read is checked to be one element a message.
type messages struct {
	net.Conn // below the WebSocket
	ws       *websocket.Conn
	tls      *tls.ConnectionState
	in       chan []byte
	failed   error // once in is closed
	rest     []byte

	mu    sync.Mutex
	until time.Time
}

// overWebSocket opens a WebSocket at the URL of o.
func overWebSocket(o Options) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	m := &messages{in: make(chan []byte, 1000)}
	dial := func(ctx context.Context, network, _ string) (c net.Conn, err error) {
		m.Conn, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: o.Local}}).DialContext(ctx, network, o.Addr)
		return m.Conn, err
	}
	tr := &http.Transport{DialContext: dial}
	if o.TLS != nil {
		tr.TLSClientConfig = o.TLS.Clone()
		tr.TLSClientConfig.ServerName = o.Host
	}
	ws, resp, err := websocket.Dial(ctx, o.WebSocket, &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}, HTTPHeader: o.HTTP, Subprotocols: []string{"xmpp"}})
	if err != nil {
		return nil, err
	}
	if resp.Header.Get("Sec-WebSocket-Protocol") != "xmpp" {
		ws.CloseNow()
		return nil, errors.New("xmpptest: the subprotocol was not agreed on")
	}
	ws.SetReadLimit(64 << 20)
	m.ws, m.tls = ws, resp.TLS
	go m.pump()
	return m, nil
}

// pump reads messages until there are no more.
func (m *messages) pump() {
	defer close(m.in)
	for {
		kind, b, err := m.ws.Read(context.Background())
		if err == nil {
			b, err = m.element(kind, b)
		}
		var end websocket.CloseError
		if errors.As(err, &end) && end.Code == websocket.StatusNormalClosure {
			err = io.EOF
		}
		if err != nil {
			m.failed = err
			return
		}
		m.in <- b
	}
}

// element checks a message of the server's and writes it as a stream over TCP would have it.
func (m *messages) element(kind websocket.MessageType, b []byte) ([]byte, error) {
	if kind != websocket.MessageText || len(b) == 0 || b[0] != '<' {
		return nil, fmt.Errorf("xmpptest: a message that begins with no element: %.100q", b)
	}
	list, err := elements(b)
	if err != nil || len(list) != 1 {
		return nil, fmt.Errorf("xmpptest: a message of %d elements: %.200q: %v", len(list), b, err)
	}
	switch name := list[0].name; {
	case name == xml.Name{Space: xmpp.NSFraming, Local: "open"}:
		tag := "<stream:stream xmlns='jabber:client' xmlns:stream='" + xmpp.NSStream + "'"
		text := strings.Replace(strings.TrimPrefix(string(b), "<open"), " xmlns='"+xmpp.NSFraming+"'", "", 1)
		return []byte(tag + strings.TrimSuffix(text, "/>") + ">"), nil
	case name == xml.Name{Space: xmpp.NSFraming, Local: "close"}:
		return []byte("</stream:stream>"), nil
	case name.Space == "":
		return nil, fmt.Errorf("xmpptest: an element without a namespace: %.200q", b)
	}
	return b, nil
}

// An item is a top-level element in a text.
type item struct {
	name     xml.Name
	declares bool // a default namespace
	text     []byte
}

// elements cuts a text into its top-level elements.
func elements(b []byte) ([]item, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	var list []item
	for depth, from := 0, int64(0); ; {
		at := d.InputOffset()
		tok, err := d.Token()
		if errors.Is(err, io.EOF) && depth == 0 {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if depth == 0 {
				from = at
				it := item{name: tok.Name}
				for _, a := range tok.Attr {
					it.declares = it.declares || a.Name == xml.Name{Local: "xmlns"}
				}
				list = append(list, it)
			}
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				list[len(list)-1].text = b[from:d.InputOffset()]
			}
		}
	}
}

// Write implements net.Conn.
func (m *messages) Write(p []byte) (int, error) {
	text := string(p)
	if i := strings.Index(text, "<stream:stream"); i >= 0 {
		header, rest, _ := strings.Cut(text[i+len("<stream:stream"):], ">")
		header = strings.Replace(header, " xmlns='jabber:client'", " xmlns='"+xmpp.NSFraming+"'", 1)
		header = strings.Replace(header, " xmlns:stream='"+xmpp.NSStream+"'", "", 1)
		if err := m.send("<open" + header + "/>"); err != nil || rest == "" {
			return len(p), err
		}
		text = rest
	}
	text, end := strings.CutSuffix(text, "</stream:stream>")
	list, err := elements([]byte(text))
	if err != nil || len(list) == 0 && strings.TrimSpace(text) != "" { // whatever it is, it is to be seen
		return len(p), m.send(text)
	}
	for _, it := range list {
		text := string(it.text)
		if it.name.Space == "" && !it.declares {
			tag := len("<") + len(it.name.Local)
			text = text[:tag] + " xmlns='jabber:client'" + text[tag:]
		}
		if err := m.send(text); err != nil {
			return 0, err
		}
	}
	if end {
		return len(p), m.send("<close xmlns='" + xmpp.NSFraming + "'/>")
	}
	return len(p), nil
}

func (m *messages) send(text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return m.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// Read implements net.Conn.
func (m *messages) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		m.mu.Lock()
		until := m.until
		m.mu.Unlock()
		var late <-chan time.Time
		if !until.IsZero() {
			late = time.After(time.Until(until))
		}
		select {
		case b, ok := <-m.in:
			if !ok {
				return 0, m.failed
			}
			m.rest = b
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// Close implements net.Conn: without a word, as a connection breaks.
func (m *messages) Close() error { return m.ws.CloseNow() }

// SetReadDeadline implements net.Conn.
func (m *messages) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until = t
	return nil
}

// SetWriteDeadline implements net.Conn.
func (m *messages) SetWriteDeadline(time.Time) error { return nil }

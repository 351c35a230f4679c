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
	"strings"
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
	inflow
}

// overWebSocket opens a WebSocket at the URL of o.
func overWebSocket(o Options) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	m := &messages{inflow: inflow{in: make(chan []byte, 1000)}}
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
	attrs, rest, found := headerOf(text)
	if found {
		if err := m.send("<open xmlns='" + xmpp.NSFraming + "'" + attrs + "/>"); err != nil || rest == "" {
			return len(p), err
		}
	}
	text = rest
	text, end := strings.CutSuffix(text, "</stream:stream>")
	list, err := elements([]byte(text))
	if err != nil || len(list) == 0 && strings.TrimSpace(text) != "" { // whatever it is, it is to be seen
		return len(p), m.send(text)
	}
	for _, it := range list {
		if err := m.send(it.framed()); err != nil {
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

// Close implements net.Conn: without a word, as a connection breaks.
func (m *messages) Close() error { return m.ws.CloseNow() }

// Of the two that messages has inside, these are the inflow's.
func (m *messages) Read(b []byte) (int, error)         { return m.inflow.Read(b) }
func (m *messages) SetReadDeadline(t time.Time) error  { return m.inflow.SetReadDeadline(t) }
func (m *messages) SetWriteDeadline(t time.Time) error { return m.inflow.SetWriteDeadline(t) }

package xmpptest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"parley/xmpp"
)

const (
	nsBOSH  = "http://jabber.org/protocol/httpbind"
	nsXBOSH = "urn:xmpp:xbosh"
)

// polls is a stream over BOSH (XEP-0206) that looks like one over TCP. It has one request
// waiting at any time, and one more when it has something to say.
type polls struct {
	net.Conn // none
	http     *http.Client
	url      string
	header   http.Header
	inflow   // its lock guards what follows, too
	stop     context.CancelFunc
	ctx      context.Context

	say    *sync.Cond
	sid    string
	rid    uint64
	out    []string // bodies to send; "" ends
	open   int      // requests under way
	next   uint64   // rid of the answer that is to be read next
	early  map[uint64][]byte
	closed bool
}

// overBOSH opens no session yet: the first header that is written does.
func overBOSH(o Options) net.Conn {
	p := &polls{url: o.BOSH, header: o.HTTP, inflow: inflow{in: make(chan []byte, 1000)}, early: map[uint64][]byte{}, rid: 1 + rand.Uint64N(1<<50)}
	p.next = p.rid
	p.say = sync.NewCond(&p.mu)
	p.ctx, p.stop = context.WithCancel(context.Background())
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: o.Local}}).DialContext(ctx, network, o.Addr)
	}}
	if o.TLS != nil {
		tr.TLSClientConfig = o.TLS.Clone()
		tr.TLSClientConfig.ServerName = o.Host
	}
	p.http = &http.Client{Transport: tr}
	go p.run()
	return p
}

// run sends what is to be sent, at most two requests at a time.
func (p *polls) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		switch {
		case len(p.out) > 0 && p.open < 2 && (p.sid != "" || p.open == 0):
			body := p.out[0]
			p.out = p.out[1:]
			p.send(body)
		case len(p.out) == 0 && p.open == 0 && p.sid != "":
			p.send("<body xmlns='" + nsBOSH + "'/>")
		default:
			p.say.Wait()
		}
	}
}

func (p *polls) send(body string) {
	rid := p.rid
	p.rid++
	p.open++
	head := fmt.Sprintf("<body rid='%d'", rid)
	if p.sid != "" {
		head += " sid='" + p.sid + "'"
	}
	go p.post(rid, head+strings.TrimPrefix(body, "<body"))
}

// post makes one request and passes on what came of those before it and it.
func (p *polls) post(rid uint64, body string) {
	req, _ := http.NewRequestWithContext(p.ctx, http.MethodPost, p.url, strings.NewReader(body))
	for k, v := range p.header {
		req.Header[k] = v
	}
	var answer []byte
	resp, err := p.http.Do(req)
	if err == nil {
		answer, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("xmpptest: %s: %s", resp.Status, answer)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.say.Broadcast()
	p.open--
	if err != nil {
		p.fail(err)
		return
	}
	p.early[rid] = answer
	for a, ok := p.early[p.next]; ok && !p.closed; a, ok = p.early[p.next] {
		delete(p.early, p.next)
		p.next++
		if err := p.read(a); err != nil {
			p.fail(err)
		}
	}
}

func (p *polls) fail(err error) {
	if !p.closed {
		p.closed, p.failed = true, err
		close(p.in)
	}
}

// read takes the elements of an answer.
func (p *polls) read(answer []byte) error {
	var b struct {
		XMLName   xml.Name   `xml:"http://jabber.org/protocol/httpbind body"`
		Attrs     []xml.Attr `xml:",any,attr"`
		Inner     []byte     `xml:",innerxml"`
		Condition string     `xml:"condition,attr"`
		Type      string     `xml:"type,attr"`
		SID       string     `xml:"sid,attr"`
		From      string     `xml:"from,attr"`
		ID        string     `xml:"authid,attr"`
	}
	if err := xml.Unmarshal(answer, &b); err != nil {
		return fmt.Errorf("xmpptest: %w in %.200q", err, answer)
	}
	if b.SID != "" {
		p.sid = b.SID
	}
	list, err := elements(b.Inner)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, it := range list {
		if it.name == (xml.Name{Space: xmpp.NSStream, Local: "features"}) {
			fmt.Fprintf(&text, "<stream:stream xmlns='jabber:client' xmlns:stream='%s' version='1.0' from='%s' id='%s'>", xmpp.NSStream, b.From, b.ID)
		}
		if it.name.Space == "" || !it.declares && it.name.Space != xmpp.NSStream {
			return fmt.Errorf("xmpptest: an element without a namespace: %.200q", it.text)
		}
		text.Write(it.text)
	}
	if b.Type == "terminate" && b.Condition != "" && b.Condition != "remote-stream-error" {
		fmt.Fprintf(&text, "<stream:error xmlns:stream='%s'><undefined-condition xmlns='%s'/><text xmlns='%[2]s'>%s</text></stream:error>", xmpp.NSStream, xmpp.NSStreams, b.Condition)
	}
	if b.Type == "terminate" {
		text.WriteString("</stream:stream>")
	}
	if text.Len() > 0 {
		p.in <- text.Bytes()
	}
	if b.Type == "terminate" {
		return io.EOF
	}
	return nil
}

// Write implements net.Conn.
func (p *polls) Write(b []byte) (int, error) {
	text := string(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.say.Broadcast()
	if p.closed {
		return 0, errors.New("xmpptest: the session is over")
	}
	if header, _, found := headerOf(text); found {
		header = " xmlns='" + nsBOSH + "' xmlns:xmpp='" + nsXBOSH + "'" + strings.Replace(header, " version=", " xmpp:version=", 1)
		if p.sid == "" {
			header += " ver='1.11' wait='30' hold='1'"
		} else {
			header += " xmpp:restart='true'"
		}
		p.out = append(p.out, "<body"+header+"/>")
		return len(b), nil
	}
	text, end := strings.CutSuffix(text, "</stream:stream>")
	kind := ""
	if end {
		kind = " type='terminate'"
	}
	list, err := elements([]byte(text))
	if err != nil {
		return 0, err
	}
	body := "<body xmlns='" + nsBOSH + "'" + kind + ">"
	for _, it := range list {
		body += it.framed()
	}
	p.out = append(p.out, body+"</body>")
	return len(b), nil
}

// Close implements net.Conn: no request follows.
func (p *polls) Close() error {
	p.mu.Lock()
	p.fail(net.ErrClosed)
	p.say.Broadcast()
	p.mu.Unlock()
	p.stop()
	p.http.CloseIdleConnections()
	return nil
}

// TakeSession stops making requests for a client over BOSH, after what is under way, and
// returns the session's id and the last request's, for somebody else to go on.
func TakeSession(c *Client) (sid string, rid int) {
	p := c.Conn.(*polls)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(net.ErrClosed)
	p.say.Broadcast()
	p.send("<body xmlns='" + nsBOSH + "' pause='60'/>") // nothing is held then (XEP-0124 §10)
	for p.open > 0 {
		p.say.Wait()
	}
	return p.sid, int(p.rid - 1)
}

// Of the two that polls has inside, these are the inflow's.
func (p *polls) Read(b []byte) (int, error)         { return p.inflow.Read(b) }
func (p *polls) SetReadDeadline(t time.Time) error  { return p.inflow.SetReadDeadline(t) }
func (p *polls) SetWriteDeadline(t time.Time) error { return p.inflow.SetWriteDeadline(t) }

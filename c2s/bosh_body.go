package c2s

import (
	"bytes"
	"errors"
	"mime"
	"strconv"
	"strings"
	"time"

	"parley/xmpp"
)

const (
	nsBOSH  = "http://jabber.org/protocol/httpbind"
	nsXBOSH = "urn:xmpp:xbosh"
)

// boshVersion is the version of BOSH that is spoken here (XEP-0124 §7.1), boshMinor its second
// number.
const (
	boshVersion = "1.11"
	boshMinor   = 11
)

// lower returns the version that is spoken with a client that says which one it knows: the lower
// one of the two (XEP-0124 §7.2); "" if it says none.
func lower(ver string) string {
	major, minor, _ := strings.Cut(ver, ".")
	if n, err := strconv.Atoi(minor); err == nil && major == "1" && n >= 0 && n < boshMinor {
		return "1." + strconv.Itoa(n)
	}
	if ver == "" {
		return ""
	}
	return boshVersion
}

// maxRID is the largest request id that every client can count to (XEP-0124 §14.1).
const maxRID = 1<<53 - 1

// A boshBody is what a request says (XEP-0124 §6).
type boshBody struct {
	sid, to, from, lang, ver string
	rid                      uint64
	ack                      uint64
	hasAck                   bool
	wait, hold, pause        int // seconds and requests; -1: not given
	content                  string
	key, newkey              string
	terminate, restart       bool
	payload                  []byte // the elements, each for itself
}

var (
	declaresBOSH   = []byte(" xmlns='" + nsBOSH + "'")
	declaresClient = []byte(" xmlns='" + xmpp.NSClient + "'")
)

var (
	errBadBody   = errors.New("c2s: no <body/> of BOSH")
	errLargeBody = errors.New("c2s: a large <body/> of somebody who is not logged in")
)

// sessionOf looks for the session id in the start of a large body, before all of it is read.
func sessionOf(b []byte) string {
	tag, _, _ := bytes.Cut(b[:min(len(b), boshTag)], []byte(">"))
	for _, quote := range []byte{'\'', '"'} {
		if _, rest, found := bytes.Cut(tag, []byte{' ', 's', 'i', 'd', '=', quote}); found {
			sid, _, _ := bytes.Cut(rest, []byte{quote})
			return string(sid)
		}
	}
	return ""
}

// parseBody reads the <body/> of a request, which must be well-formed and within limits as a
// stanza must. What it holds in no namespace of its own is taken for jabber:client.
func parseBody(b []byte, l xmpp.Limits) (*boshBody, error) {
	var sc xmpp.Scanner
	defer sc.Release()
	sc.Reset(nsBOSH, true, l)
	for len(b) > 0 {
		n := copy(sc.Space(min(len(b), 4096)), b)
		sc.Filled(n)
		b = b[n:]
	}
	if ev, err := sc.Next(); err != nil || ev != xmpp.EventStanza {
		return nil, errBadBody
	}
	st := sc.Stanza()
	if st.Name != (xmpp.Name{Space: nsBOSH, Local: "body"}) || strings.TrimSpace(st.Text()) != "" {
		return nil, errBadBody
	}
	p := &boshBody{wait: -1, hold: -1, pause: -1, lang: st.Lang}
	for _, a := range st.Attrs {
		if err := p.take(a); err != nil {
			return nil, err
		}
	}
	for e := range st.Children {
		raw := e.Payload()
		if e.Name().Space == nsBOSH { // of the body, by inheritance
			raw = bytes.Replace(raw, declaresBOSH, declaresClient, 1)
		}
		p.payload = append(p.payload, raw...)
	}
	if _, err := sc.Next(); !errors.Is(err, xmpp.ErrMore) || sc.Buffered() > 0 {
		return nil, errBadBody
	}
	return p, nil
}

// take takes one attribute.
func (p *boshBody) take(a xmpp.Attr) (err error) {
	switch a.Space + " " + a.Local {
	case " sid":
		p.sid = a.Value
	case " rid":
		p.rid, err = strconv.ParseUint(a.Value, 10, 53)
	case " to":
		p.to = a.Value
	case " from":
		p.from = a.Value
	case " ver":
		p.ver = a.Value
	case " content":
		p.content = a.Value
	case " key":
		p.key = a.Value
	case " newkey":
		p.newkey = a.Value
	case " type":
		p.terminate = a.Value == "terminate"
	case " wait":
		p.wait, err = seconds(a.Value)
	case " hold":
		p.hold, err = seconds(a.Value)
	case " pause":
		p.pause, err = seconds(a.Value)
	case " ack":
		p.hasAck = true
		p.ack, err = strconv.ParseUint(a.Value, 10, 53)
	case nsXBOSH + " restart":
		p.restart = a.Value == "true" || a.Value == "1"
	}
	return err
}

func seconds(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// contentType returns what a client wants for the type of answers (XEP-0124 §7.1), if it is
// one at all. Answers are sandboxed, whatever browsers take them for.
func (p *boshBody) contentType() string {
	if t, params, err := mime.ParseMediaType(p.content); err == nil && strings.HasPrefix(t, "text/") || err == nil && strings.HasPrefix(t, "application/") {
		if cs := params["charset"]; cs == "" || strings.EqualFold(cs, "utf-8") {
			return mime.FormatMediaType(t, map[string]string{"charset": "utf-8"})
		}
	}
	return "text/xml; charset=utf-8"
}

// A boshAnswer is the <body/> of an answer.
type boshAnswer struct {
	attrs     []string // names and values in turn
	condition string   // of the end of the session
	ends      bool
	broken    bool // a recoverable binding condition (XEP-0124 §17.3)
	elements  []byte
}

func (a *boshAnswer) append(dst []byte) []byte {
	var b xmpp.Builder
	attrs := a.attrs
	switch {
	case a.ends:
		attrs = append([]string{"type", "terminate", "condition", a.condition}, attrs...)
	case a.broken:
		attrs = append([]string{"type", "error"}, attrs...)
	}
	b.Open(nsBOSH, "body", attrs...)
	b.Raw(a.elements)
	return append(dst, b.Close().Payload()...)
}

// creation returns the attributes of the answer that opens a session (XEP-0124 §7.2,
// XEP-0206 §4).
func (s *bosh) creation(streamID string) []string {
	decimal := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	list := []string{
		"sid", s.sid, "wait", decimal(s.wait), "requests", strconv.Itoa(s.window), "hold", strconv.Itoa(s.hold), "ver", s.ver,
		"polling", decimal(boshPolling), "inactivity", decimal(s.inactivity), "maxpause", decimal(boshMaxPause),
		"from", s.host, "authid", streamID, "xmlns:xmpp", nsXBOSH, "xmpp:version", "1.0", "xmpp:restartlogic", "true",
	}
	if s.acks {
		list = append(list, "ack", strconv.FormatUint(s.first, 10))
	}
	return list
}

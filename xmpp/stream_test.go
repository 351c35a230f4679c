package xmpp

import (
	"io"
	"testing"
	"time"
)

// pieces is a transport whose peer has sent what it holds, piece by piece.
type pieces struct{ in []string }

func (p *pieces) Wait() error               { return nil }
func (p *pieces) Write([]byte) error        { return nil }
func (p *pieces) Backlog() (int, time.Time) { return 0, time.Time{} }
func (p *pieces) WhenSent(func()) bool      { return false }
func (p *pieces) Close(time.Duration) error { return nil }
func (p *pieces) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.in[0])
	if p.in[0] = p.in[0][n:]; p.in[0] == "" {
		p.in = p.in[1:]
	}
	return n, nil
}

const opening = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>"

// A line break behind the last element of SASL is no part of the next stream.
func TestRenewForgivesWhiteSpace(t *testing.T) {
	for _, rest := range [][]string{{"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n" + opening}, {"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "\n", "\r\n ", opening}, {"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n", opening}, {"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" + opening}} {
		s := NewStream(&pieces{append([]string{opening}, rest...)}, NSClient, false, Limits{})
		if _, err := s.Header(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Await(); err != nil {
			t.Fatal(err)
		}
		s.Renew(Limits{})
		if h, err := s.Header(); err != nil || h.To != "example.com" {
			t.Errorf("%q: %v", rest, err)
		}
	}
}

// Nothing is forgiven before the first one (XML 1.0: the declaration stands first).
func TestWhiteSpaceBeforeTheDeclaration(t *testing.T) {
	s := NewStream(&pieces{[]string{"\n" + opening}}, NSClient, false, Limits{})
	if _, err := s.Header(); err == nil {
		t.Error("accepted")
	}
}

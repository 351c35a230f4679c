package xmpp

import "testing"

const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0' xml:lang='en'>`

func TestStreamOfThreeElements(t *testing.T) {
	var s Scanner
	s.Reset(NSClient, false, Limits{})
	in := header + `<message to='a@b' id='1'><body>hi</body><x xmlns='u:x'><y/></x></message> <r xmlns='urn:xmpp:sm:3'/></stream:stream>`
	n := copy(s.Space(len(in)), in)
	s.Filled(n)
	for {
		e, err := s.Next()
		t.Log(e, err, s.Header(), s.Stanza())
		if err != nil {
			break
		}
	}
	st, err := ParseStanza(`<c:message xmlns:c='jabber:client' xmlns='u' xmlns:p='v'><c:body xmlns='w'>x<z/></c:body><p:a><b xmlns:q='1' q:d='e'/></p:a></c:message>`)
	t.Log(st, err)
}

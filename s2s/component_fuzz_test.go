package s2s

import (
	"io"
	"strings"
	"testing"
	"time"

	"parley/router/routertest"
)

// FuzzComponentStream sends anything to the door for components: before the header, behind it,
// and as a component that has proved itself. Nothing panics, the connection ends, and what
// comes in is from nobody else.
func FuzzComponentStream(f *testing.F) {
	for _, seed := range []string{
		componentHead("irc.example.com"), "<handshake>0</handshake>", "<handshake/>", "</stream:stream>",
		"<message from='a@irc.example.com' to='ann@example.com'><body>x</body></message>",
		"<message from='irc.example.com' to='example.com'><privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='ann@example.com' to='x@y'/></forwarded></privilege></message>",
		"<iq from='irc.example.com' to='example.com' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<presence from='ann@example.com' to='ann@example.com' type='subscribed'/>",
		"<presence from='irc.example.com' to='ann@example.com' type='subscribe'/><presence from='irc.example.com' to='@'/>",
		"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
		"<!DOCTYPE x><x/>", "<?x y?>", "<![CDATA[x]]>", "\xff\xfe", " ",
	} {
		for state := range 3 {
			f.Add(byte(state), seed)
		}
	}
	s := withComponents(f, func(c *ComponentsConfig) {
		c.Settings.Handshake, c.Settings.PerAddress = 2*time.Second, 0
		for _, d := range []string{"b.example", "c.example"} {
			c.Rules = append(c.Rules, ComponentRule{Domain: d, Secret: ircSecret})
		}
	})
	ann := s.Online("ann@example.com/1")
	f.Fuzz(func(t *testing.T, state byte, in string) {
		p := dialComponent(t, s.addr)
		switch state % 3 {
		case 1:
			p.opens("irc.example.com")
		case 2:
			routertest.Eventually(t, "the last one is gone", func() bool { return !s.connected("irc.example.com") })
			p.opens("irc.example.com")
			p.proves(ircSecret)
			p.hears("<handshake/>")
		}
		p.says("%s", in)
		p.says("</stream:stream>")
		p.SetReadDeadline(time.Now().Add(10 * time.Second))
		p.Conn.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := io.Copy(io.Discard, p); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("the connection does not end: %v", err)
		}
		if s.log.has("panicked") {
			t.Fatal("a panic")
		}
		for st := ann.Hears(); st != nil; st = ann.Hears() {
			if st.From.Domain() != "irc.example.com" && st.From.Domain() != "example.com" || st.From.Bare().String() == "ann@example.com" && st.From != ann.JID() {
				t.Fatalf("from somebody else: %s", st)
			}
		}
	})
}

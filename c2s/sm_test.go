package c2s_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// XEP-0198 §3: what is announced, and what enabling answers.
func TestEnable(t *testing.T) {
	h := open(t, nil)
	c := h.login("juliet", "a")
	if !c.Features.Has(nsSM, "sm") {
		t.Errorf("not announced: %s", c.Features)
	}
	c.Say("<enable xmlns='urn:xmpp:sm:3'/>")
	if st := c.Expect("<enabled"); strings.Contains(st.String(), "id=") || strings.Contains(st.String(), "resume") {
		t.Errorf("got %s", st)
	}
	seen := map[string]bool{}
	for _, e := range []struct{ xml, max string }{
		{"<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "600"},
		{"<enable xmlns='urn:xmpp:sm:3' resume='1' max='60'/>", "60"},
		{"<enable xmlns='urn:xmpp:sm:3' resume='1' max='100000'/>", "600"},
		{"<enable xmlns='urn:xmpp:sm:3' resume='1' max='-4'/>", "600"},
		{"<enable xmlns='urn:xmpp:sm:3' resume='1' max='99999999999999999999'/>", "600"},
	} {
		m := &managed{Client: h.login("juliet", ""), h: h, name: "juliet"}
		m.enable(e.xml)
		if m.max != e.max || len(m.id) < 26 || seen[m.id] { // 26 of 32 characters: 130 bits
			t.Errorf("%s: id %q, max %s", e.xml, m.id, m.max)
		}
		seen[m.id] = true
		m.Bye()
	}
}

// XEP-0198 §3: out of turn it fails, and enabling twice ends the stream.
func TestEnableOutOfTurn(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	const unexpected = "<unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
	c := h.dial()
	c.Say(enableXML)
	c.Expect("<failed xmlns='urn:xmpp:sm:3'>", unexpected)
	if err := c.TryLogin(xmpptest.Login{User: "juliet", Password: password, NoBind: true}); err != nil {
		t.Fatal(err)
	}
	for _, xml := range []string{enableXML, "<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>"} {
		c.Say(xml)
		c.Expect("<failed xmlns='urn:xmpp:sm:3'>", unexpected)
	}
	if err := c.Bind("a"); err != nil {
		t.Fatal(err)
	}
	for _, xml := range []string{"<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>", "<resume xmlns='urn:xmpp:sm:3' h='0' previd='x'/>"} {
		c.Say(xml)
		c.Expect("<failed xmlns='urn:xmpp:sm:3'>", unexpected)
	}
	c.Say(enableXML)
	c.Expect("<enabled")
	c.Say(enableXML)
	c.ExpectEnd("policy-violation")
	h.none("juliet")
}

// XEP-0198 §4: stanzas count, whatever becomes of them, and nothing else does.
func TestCounts(t *testing.T) {
	h := open(t, nil)
	h.account("romeo")
	c := h.login("juliet", "a")
	say(c, "romeo@"+host, "before")
	m := &managed{Client: c, h: h, name: "juliet"}
	m.enable(enableXML)
	if n := m.handled(); n != 0 {
		t.Errorf("%d handled at the start", n)
	}
	say(c, "romeo@"+host, "one")
	say(c, "nobody@"+host, "two, which is refused")
	c.Say("<presence/>")
	c.Say("<iq type='get' id='4'><nonsense xmlns='x'/></iq>")
	c.Say("<active xmlns='urn:xmpp:csi:0'/>")
	c.Say("<message to='romeo@%s'><paused xmlns='http://jabber.org/protocol/chatstates'/></message> ", host)
	if n := m.handled(); n != 5 {
		t.Errorf("%d handled instead of 5", n)
	}
	m.sync()
	if n := m.handled(); n != 6 {
		t.Errorf("%d handled instead of 6", n)
	}
}

// XEP-0198 §5: a session goes on where it was, with what its client has not acknowledged.
func TestResume(t *testing.T) {
	h, k := keeping(t, nil)
	h.contacts()
	m := h.managed("ann", "phone")
	bob := h.login("bob", "x")
	m.Say("<presence/>")
	bob.Say("<presence/>")
	for range 2 { // its own, and the other one
		m.get()
	}
	m.sync()
	m.mute = true
	say(bob, m.JID.String(), "read")
	m.gets("<body>read</body>")
	m.ack()
	say(bob, m.JID.String(), "lost")
	m.gets("<body>lost</body>")
	m.in-- // it did not get that far
	m.cut()
	h.gone("ann")
	say(bob, m.JID.String(), "meanwhile")
	say(bob, "ann@"+host, "to all")
	bob.Ping(nil)
	m.mute = false
	if n := m.resume(); n != 2 {
		t.Errorf("%d handled", n)
	}
	if st := m.gets("<body>lost</body>"); st.Has("urn:xmpp:delay", "delay") {
		t.Errorf("got %s", st)
	}
	m.gets("<body>meanwhile</body>", "<delay xmlns='urn:xmpp:delay' from='"+host+"'") // XEP-0203 §2
	m.gets("<body>to all</body>", "<delay")
	say(m.Client, bob.JID.String(), "back")
	for st := bob.Next(); !strings.Contains(st.String(), "<body>back"); st = bob.Next() {
		if st.Kind == xmpp.Presence && st.Type == "unavailable" {
			t.Errorf("it was shown to be away: %s", st)
		}
	}
	if n := m.handled(); n != 3 {
		t.Errorf("%d handled", n)
	}
	m.ack()
	m.sync()
	if took, left := k.lists(); took != "read lost meanwhile to all" || left != "" {
		t.Errorf("taken: %q; left: %q", took, left)
	}
	m.Say(enableXML)
	m.ExpectEnd("policy-violation")
}

// XEP-0198 §5: the rightful owner takes a session over that looks alive.
func TestResumeAlive(t *testing.T) {
	h := open(t, nil)
	m := h.managed("juliet", "a")
	romeo := h.login("romeo", "x")
	for i := range 5 {
		old := m.Client
		m.resume()
		old.ExpectEnd("conflict")
		say(romeo, m.JID.String(), fmt.Sprint(i))
		m.gets(fmt.Sprintf("<body>%d</body>", i))
	}
	if n := h.router.Sessions(); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// XEP-0198 §9: enabling inside Bind 2, resuming inside SASL2, and no features behind that.
func TestInlineManagement(t *testing.T) {
	h := open(t, nil)
	h.account("juliet")
	c := h.dial()
	inline := c.Features.Child(nsSASL2, "authentication").Child("", "inline")
	if inline.Child(nsSM, "sm").IsZero() || !strings.Contains(string(inline.Payload()), "<feature var='urn:xmpp:sm:3'/>") {
		t.Errorf("not announced: %s", c.Features)
	}
	l := xmpptest.Login{User: "juliet", Password: password, SASL2: true, Inline: enableXML}
	st, err := c.Authenticate(l)
	if err != nil {
		t.Fatal(err)
	}
	enabled := st.Child(nsBind2, "bound").Child(nsSM, "enabled")
	m := &managed{Client: c, h: h, name: "juliet", id: enabled.Attr("id")}
	if c.JID, err = xmpp.ParseJID(st.Child(nsSASL2, "authorization-identifier").Text()); err != nil || m.id == "" {
		t.Fatalf("got %s", st)
	}
	c.Expect("<features")
	m.sync()
	m.cut()
	h.gone("juliet")
	romeo := h.login("romeo", "x")
	say(romeo, m.JID.String(), "waits")
	romeo.Ping(nil)

	c = h.dial()
	l.Extra = fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", m.id, m.in)
	if st, err = c.Authenticate(l); err != nil {
		t.Fatal(err)
	}
	resumed := st.Child(nsSM, "resumed")
	if resumed.Attr("previd") != m.id || resumed.Attr("h") != "1" || st.Has(nsBind2, "bound") ||
		st.Child(nsSASL2, "authorization-identifier").Text() != m.JID.String() {
		t.Fatalf("got %s", st)
	}
	m.Client = c
	m.gets("<body>waits</body>") // and no features
	m.Bye()
	h.none("juliet")

	c = h.dial() // it is over: it fails, and the resource is bound
	if st, err = c.Authenticate(l); err != nil {
		t.Fatal(err)
	}
	failed := st.Child(nsSM, "failed")
	if failed.Child(xmpp.NSStanzas, "item-not-found").IsZero() || failed.Attr("h") != "1" ||
		st.Child(nsBind2, "bound").Child(nsSM, "enabled").IsZero() {
		t.Errorf("got %s", st)
	}
	c.Expect("<features")
	c.Ping(nil)
}

// Another account's id is answered as one that was made up, and does nothing.
func TestResumeOfOthers(t *testing.T) {
	h := open(t, nil)
	m := h.managed("juliet", "a")
	h.account("tybalt")
	thief := &managed{h: h, name: "tybalt", id: m.id}
	c, theirs := thief.ask()
	thief.id = strings.Repeat("X", len(m.id))
	_, nobodys := thief.ask()
	if want := "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"; theirs.String() != want || nobodys.String() != want {
		t.Errorf("theirs: %s\nnobody's: %s", theirs, nobodys)
	}
	if err := c.Bind("b"); err != nil { // XEP-0198 §5: the client may go on
		t.Error(err)
	}
	m.sync()
	m.cut()
	h.gone("juliet")
	thief.id = m.id
	if _, st := thief.ask(); !strings.Contains(st.String(), "item-not-found") || strings.Contains(st.String(), "h=") {
		t.Errorf("got %s", st)
	}
	m.resume()
	m.sync()
	m.Bye()
	h.none("juliet")
	if _, st := thief.ask(); !strings.Contains(st.String(), "item-not-found") || strings.Contains(st.String(), "h=") {
		t.Errorf("got %s", st)
	}
	c = m.authenticated()
	for range 10 {
		c.Say("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
		c.Expect("item-not-found")
	}
	c.Say("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
	c.ExpectEnd("policy-violation")
}

// XEP-0198 §4, §5, §7: nobody comes back in time. Contacts hear of it, requests and messages
// of rooms are answered, messages that wait are given to who keeps them, and the client hears
// how far it had come.
func TestExpiry(t *testing.T) {
	h, k := keeping(t, func(p *plan) { p.set.SMTimeout = moment })
	h.contacts()
	m := h.managed("ann", "phone")
	bob := h.login("bob", "x")
	bob.Say("<presence/>")
	bob.Expect("<presence")
	m.Say("<presence/>")
	bob.Expect("<presence", "from='ann@")
	h.router.Wait(t.Context())
	m.sync()
	m.cut()
	h.gone("ann")
	to := m.JID.String()
	bob.Say("<iq type='get' id='q1' to='%s'><query xmlns='jabber:iq:version'/></iq>", to)
	bob.Say("<iq type='result' id='q2' to='%s'/>", to)
	bob.Say("<presence to='%s'/>", to)
	say(bob, to, "kept")
	bob.Say("<message type='groupchat' id='g1' to='%s'><subject>x</subject></message>", to)
	var got []string
	for range 3 {
		st := bob.Next()
		got = append(got, fmt.Sprint(st.Kind, " ", st.Type, " ", st.ID))
		if st.Type == "error" && !strings.Contains(st.String(), "<service-unavailable") {
			t.Errorf("got %s", st)
		}
	}
	if want := "presence unavailable , iq error q1, message error g1"; strings.Join(got, ", ") != want {
		t.Errorf("got %s instead of %s", strings.Join(got, ", "), want)
	}
	bob.Ping(func(st *xmpp.Stanza) { t.Errorf("also got %s", st) })
	if took, left := k.lists(); took != "" || left != "kept" {
		t.Errorf("taken: %q; left: %q", took, left)
	}
	_, st := m.ask()
	if h, _ := st.Attr("h"); h != "2" || st.Name.Local != "failed" || !strings.Contains(st.String(), "item-not-found") {
		t.Errorf("got %s", st)
	}
	if n := h.Stats().Expired.Load(); n != 1 || h.Asleep() != 0 {
		t.Errorf("%d expired, %d asleep", n, h.Asleep())
	}
}

// XEP-0198 §6: who acknowledges what was never sent is told so, and the session is over; who
// acknowledges less than before is not stopped (@xmpp/client does); garbage ends the stream.
func TestWrongAcknowledgements(t *testing.T) {
	h := open(t, nil)
	m := h.managed("juliet", "a")
	m.sync()
	m.sync()
	m.Say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
	for _, n := range []string{"1", "0", "4294967295", "2"} {
		m.Say("<a xmlns='urn:xmpp:sm:3' h='%s'/>", n)
		m.sync()
	}
	if n := h.Stats().AcksBack.Load(); n < 3 {
		t.Errorf("%d counted", n)
	}
	m.mute = true
	m.Say("<a xmlns='urn:xmpp:sm:3' h='%d'/>", m.in+3)
	for {
		st := m.Next()
		if st.Name.Local != "error" {
			continue
		}
		e := st.Child(nsSM, "handled-count-too-high")
		if xmpptest.StreamCondition(st) != "undefined-condition" || e.Attr("h") != fmt.Sprint(m.in+3) || e.Attr("send-count") != fmt.Sprint(m.in) {
			t.Errorf("got %s", st)
		}
		break
	}
	m.ExpectEnd("")
	h.none("juliet")
	for _, xml := range []string{"<a xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='-1'/>", "<a xmlns='urn:xmpp:sm:3' h='4294967296'/>", "<a xmlns='urn:xmpp:sm:3' h='x'/>"} {
		m = h.managed("juliet", "a")
		m.Say(xml)
		m.ExpectEnd("bad-format")
	}
	m = h.managed("juliet", "a") // resuming with such a count
	m.sync()
	m.cut()
	m.in += 7
	c, st := m.ask()
	if xmpptest.StreamCondition(st) != "undefined-condition" || !st.Has(nsSM, "handled-count-too-high") {
		t.Errorf("got %s", st)
	}
	c.ExpectEnd("")
	h.none("juliet")
}

// XEP-0198 §7: the closing tag ends the session, and so does what the client does wrong.
func TestEndsWithTheStream(t *testing.T) {
	h := open(t, nil)
	for _, c := range []struct{ says, condition string }{
		{"</stream:stream>", ""}, {"<message from='x@y'/>", "invalid-from"}, {"<<", "not-well-formed"}, {"<x xmlns='y'/>", "unsupported-stanza-type"},
	} {
		m := h.managed("juliet", "a")
		m.Say("<presence/>")
		m.get()
		m.Say(c.says)
		m.ExpectEnd(c.condition)
		h.none("juliet")
		_, st := m.ask()
		if n, _ := st.Attr("h"); !strings.Contains(st.String(), "item-not-found") || n != "1" {
			t.Errorf("behind %s: %s", c.says, st)
		}
	}
}

package blocking_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/xep/blocking"
	"parley/xep/mam"
	"parley/xmpp"
)

// TestReports: what a user says of somebody who is being blocked reaches the administrators,
// also those who are away, in either form; the block is as it would be without (XEP-0377 §6).
func TestReports(t *testing.T) {
	here, away := xmpp.MustJID("bard@example.com"), xmpp.MustJID("clown@example.net")
	h := routertest.New(t,
		blocking.NewWith(func() int { return 30 }, func() []xmpp.JID { return []xmpp.JID{here, away} }),
		mam.New(func() mam.Limits { return mam.Limits{} }))
	h.Exists(away)
	bard, juliet := h.Online("bard@example.com/globe"), h.Connected("juliet@example.com/x")
	block := func(items string) {
		t.Helper()
		juliet.Does("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>" + items + "</block></iq>")
	}
	said := func(subject, body string) {
		t.Helper()
		bard.Gets("<message from='example.com'><subject>" + subject + "</subject><body>" + body + "</body></message>")
	}
	block("<item jid='tybalt@example.com'/>")
	bard.GetsNothing()
	block(`<item jid='romeo@example.net'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>
		<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='28482'/><text xml:lang='en'>Never came trouble to my house like this.</text></report></item>
		<item jid='paris@example.com'><report xmlns='urn:xmpp:reporting:0'><abuse/><text>He is &lt;rude&gt;.</text></report></item>`)
	said("Report about romeo@example.net", "juliet@example.com has blocked romeo@example.net and reports spam.\n\nNever came trouble to my house like this.\n\nMessages: 28482 by juliet@example.com")
	said("Report about paris@example.com", "juliet@example.com has blocked paris@example.com and reports abuse.\n\nHe is &lt;rude&gt;.")
	for _, none := range []string{
		"<report xmlns='urn:xmpp:reporting:1'/>", "<report xmlns='urn:xmpp:reporting:0'><ham/></report>", "<report xmlns='x' reason='spam'/>",
		"<report xmlns='urn:xmpp:reporting:1' reason='" + strings.Repeat("x", 201) + "'/>",
	} {
		block("<item jid='a@example.com'>" + none + "</item>")
	}
	bard.GetsNothing()
	block("<item jid='b@example.com'><report xmlns='urn:xmpp:reporting:1' reason='urn:x:other'><text>" + strings.Repeat("é", 2000) + "</text></report></item>")
	said("Report about b@example.com", "juliet@example.com has blocked b@example.com and reports urn:x:other.\n\n"+strings.Repeat("é", 1000)+" …")
	for i := range 30 {
		block(fmt.Sprintf("<item jid='c%d@example.com'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item>", i%20))
	}
	n := 3
	for bard.Hears() != nil {
		n++
	}
	if n != 20 {
		t.Errorf("%d reports of one user were passed on", n)
	}
	juliet.Sends("<iq type='set' id='full'><block xmlns='urn:xmpp:blocking'><item jid='z1@example.com'/><item jid='z2@example.com'/><item jid='z3@example.com'/><item jid='z4@example.com'/><item jid='z5@example.com'/><item jid='z6@example.com'/>" +
		"<item jid='z7@example.com'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block></iq>")
	if st := juliet.Hears(); st.Type != "error" {
		t.Errorf("more than there is room for: %s", st)
	}
	clown := h.Online(away.String() + "/late")
	clown.Gets("<message from='example.com'><subject>Report about romeo@example.net</subject>…</message>")
}

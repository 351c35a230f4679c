package blocking

import (
	"strings"
	"time"

	"parley/router"
	"parley/xmpp"
)

// Reports of spam and abuse that come with a block (XEP-0377), in the present form and in
// the one before, which said the reason with an element.
const (
	nsReport    = "urn:xmpp:reporting:1"
	nsReportOld = "urn:xmpp:reporting:0"
)

// Limits of reports.
const (
	maxReports = 20 // of one account within reportTime; more are not passed on
	reportTime = time.Hour
	maxReason  = 200  // bytes of a reason; a longer one is none
	maxText    = 2000 // bytes of the user's words; what is longer is cut
	maxStanzas = 20   // messages that one report names
)

// The reasons of XEP-0377 §4.
const (
	reasonSpam  = "urn:xmpp:reporting:spam"
	reasonAbuse = "urn:xmpp:reporting:abuse"
)

// A report is what a user says of somebody who is being blocked.
type report struct {
	about   xmpp.JID
	reason  string // a URN
	text    string
	stanzas []string // ids of messages (XEP-0359)
}

// reports are the reports in a block request.
func reports(block xmpp.Element) (list []report) {
	for item := range block.Children {
		if !item.Is(ns, "item") {
			continue
		}
		about, err := xmpp.ParseJID(item.Attr("jid"))
		if err != nil {
			continue
		}
		for e := range item.Children {
			if r, ok := reportOf(e); ok {
				r.about = about
				list = append(list, r)
				break // of each one (XEP-0377 §7)
			}
		}
	}
	return list
}

// reportOf reads a report (XEP-0377 §4). One without a reason is none.
func reportOf(e xmpp.Element) (r report, ok bool) {
	switch e.Name() {
	case xmpp.Name{Space: nsReport, Local: "report"}:
		r.reason = e.Attr("reason")
	case xmpp.Name{Space: nsReportOld, Local: "report"}:
		for c := range e.Children {
			switch c.Name() {
			case xmpp.Name{Space: nsReportOld, Local: "spam"}:
				r.reason = reasonSpam
			case xmpp.Name{Space: nsReportOld, Local: "abuse"}:
				r.reason = reasonAbuse
			}
		}
	}
	for c := range e.Children {
		switch {
		case c.Name().Local == "text" && c.Name().Space == e.Name().Space && r.text == "":
			r.text = cut(strings.TrimSpace(c.Text()))
		case c.Is("urn:xmpp:sid:0", "stanza-id") && len(r.stanzas) < maxStanzas:
			r.stanzas = append(r.stanzas, c.Attr("id")+" by "+c.Attr("by"))
		}
	}
	return r, r.reason != "" && len(r.reason) <= maxReason
}

// cut shortens a text, and leaves a character whole.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}

// told counts the reports of an account within the time that begins with the first.
type told struct {
	since time.Time
	n     int
}

// pass gives the reports of a user to the administrators, as messages that wait for those
// who are away. Only in a turn of the account.
func (f *feature) pass(t *router.Turn, a *router.Account, list []report) {
	for _, r := range list {
		now := told{time.Now(), 0}
		if was := f.told.Of(a); was != nil && now.since.Sub(was.since) < reportTime {
			now = *was
		}
		now.n++
		f.told.Set(a, &now)
		if now.n > maxReports {
			f.log.Warn("a report is not passed on: there are too many of this account", "by", a.JID.String(), "about", r.about.String())
			continue
		}
		f.log.Info("somebody was reported", "by", a.JID.String(), "about", r.about.String(), "reason", r.reason)
		for _, admin := range f.admins() {
			f.router.Deliver(&t.Round, r.message(a.JID, admin))
		}
	}
}

// message is a report as an administrator reads it.
func (r report) message(by, admin xmpp.JID) *xmpp.Stanza {
	words := by.String() + " has blocked " + r.about.String() + " and reports " + strings.TrimPrefix(r.reason, "urn:xmpp:reporting:") + "."
	if r.text != "" {
		words += "\n\n" + r.text
	}
	if len(r.stanzas) > 0 {
		words += "\n\nMessages: " + strings.Join(r.stanzas, ", ")
	}
	var b xmpp.Builder
	b.Leaf("", "subject", "Report about "+r.about.String()).Leaf("", "body", xmpp.Clean(words))
	st := xmpp.NewStanza(xmpp.Message, b.Payload())
	st.From, st.To = by.Host(), admin
	return st
}

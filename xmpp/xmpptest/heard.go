package xmpptest

import (
	"fmt"
	"strconv"

	"parley/xmpp"
)

const (
	nsMAM     = "urn:xmpp:mam:2"
	nsForward = "urn:xmpp:forward:0"
	nsSID     = "urn:xmpp:sid:0"
)

// Way is how a message came to a device.
type Way uint8

// The ways.
const (
	Straight Way = iota // to the device, or its account
	Received            // as a copy of what another device of the account got
	Sent                // as a copy of what another device of the account said
	Result              // from the archive
)

func (w Way) String() string { return [...]string{"straight", "received", "sent", "result"}[w] }

// Heard is a message that came to a device.
type Heard struct {
	ID, Body, Type string
	From, To       string
	Archived       string // its id in the account's archive, "" if the server names none
	Way            Way
	Delayed        bool   // the server says when it came first; not said of results
	XML            string // all of it, for who has to explain
}

// take takes an element of the stream.
func (d *Device) take(st *xmpp.Stanza) error {
	d.note("< ", st.String())
	switch {
	case st.Kind == xmpp.Nonza && st.Name.Space == nsSM:
		return d.element(st)
	case st.Name == xmpp.Name{Space: xmpp.NSStream, Local: "error"}:
		return fmt.Errorf("%s: the stream ends: %s", d.jid, st)
	}
	d.in++
	switch st.Kind {
	case xmpp.Message:
		d.hear(st)
	case xmpp.IQ:
		if st.Type == "get" || st.Type == "set" {
			return d.request(st)
		}
		if _, ok := d.answers[st.ID]; ok {
			d.answers[st.ID] = st
		}
	}
	return nil
}

// hear takes a message out of what it came in.
func (d *Device) hear(st *xmpp.Stanza) {
	h := &Heard{ID: st.ID, Body: st.Child("", "body").Text(), Type: st.Type, From: st.From.String(), To: st.To.String(), XML: st.String()}
	h.Delayed = st.Has(xmpp.NSDelay, "delay")
	h.Archived = d.archived(st.Children)
	own := st.From == d.jid.Bare()
	for way, c := range map[Way]xmpp.Element{Received: st.Child(nsCarbons, "received"), Sent: st.Child(nsCarbons, "sent"), Result: st.Child(nsMAM, "result")} {
		if c.IsZero() || !own {
			continue
		}
		m := c.Child(nsForward, "forwarded").Child(xmpp.NSClient, "message")
		h.ID, h.Body, h.Type, h.From, h.To = m.Attr("id"), m.ChildText(xmpp.NSClient, "body"), m.Attr("type"), m.Attr("from"), m.Attr("to")
		h.Way, h.Archived = way, d.archived(m.Children)
		if way == Result {
			h.Archived = c.Attr("id")
		}
	}
	if d.managed && d.here {
		d.handed = append(d.handed, h)
	}
	if d.Hear != nil {
		d.Hear(h)
	}
}

// archived returns the id that the device's own account gives a message (XEP-0359 §3).
func (d *Device) archived(children func(func(xmpp.Element) bool)) string {
	for e := range children {
		if e.Is(nsSID, "stanza-id") && e.Attr("by") == d.jid.Bare().String() {
			return e.Attr("id")
		}
	}
	return ""
}

// CatchUp reads the account's archive behind an id, "" for all of it, in pages of so many,
// and returns the last id there. What it reads is heard.
func (d *Device) CatchUp(after string, page int) (last string, err error) {
	for last = after; ; {
		d.serial++
		id := "page" + strconv.Itoa(d.serial)
		set := "<set xmlns='" + xmpp.NSRSM + "'><max>" + strconv.Itoa(page) + "</max>"
		if last != "" {
			set += "<after>" + last + "</after>"
		}
		st, err := d.Ask(id, "<iq type='set' id='"+id+"'><query xmlns='"+nsMAM+"' queryid='"+id+"'>"+set+"</set></query></iq>")
		if err != nil {
			return last, err
		}
		fin := st.Child(nsMAM, "fin")
		if st.Type != "result" || fin.IsZero() {
			return last, &Wrong{"no page: " + st.String()}
		}
		if l := fin.Child(xmpp.NSRSM, "set").ChildText(xmpp.NSRSM, "last"); l != "" {
			last = l
		}
		if fin.Attr("complete") == "true" {
			return last, nil
		}
	}
}

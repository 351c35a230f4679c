package xmpptest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"parley/xmpp"
)

const (
	nsSM      = "urn:xmpp:sm:3"
	nsCarbons = "urn:xmpp:carbons:2"
	enableSM  = "<enable xmlns='" + nsSM + "' resume='true'/>"
	enableCC  = "<enable xmlns='" + nsCarbons + "'/>"
)

// A Device is a client that does what good ones do, over many connections: with stream
// management it keeps what it has said until the server has handled it, goes on with its
// session where it can (XEP-0198 §5), and says the rest again, under the same ids, where it
// cannot. It reads while one of its methods runs, and answers the server then. One goroutine
// at a time may use it.
type Device struct {
	Options Options
	Login   Login  // without SASL2 it binds Login.Resource; with it that is the tag of Bind 2
	Agent   string // the id of its software (XEP-0388 §2.3), with SASL2
	SM      bool   // stream management
	Carbons bool
	Mute    bool // without SM: the server is not told that messages have come

	Hear    func(*Heard)            // each message that comes
	Handled func(id string)         // the server has handled this message
	Sure    func(messages []*Heard) // the server knows that the device has these; SM only

	c       *Client
	id      string // of the session that may be resumed
	jid     xmpp.JID
	managed bool   // counts are kept in this session
	in, out uint32 // stanzas that came; that the server has handled
	pending []said // in order
	wired   int    // of these, how many were said before the others are said again
	here    bool   // available with a priority that is not negative, as the server knows
	handed  []*Heard
	told    int // of handed, how many the server was told of
	serial  int
	answers map[string]*xmpp.Stanza // awaited
	trail   []string
}

// said is a stanza that the server has not handled yet, as far as the device knows.
type said struct {
	id  string // of a message; "" for anything else
	xml string
}

// Online reports whether it has a connection, as far as it knows.
func (d *Device) Online() bool { return d.c != nil }

// JID is its address, once it has been bound.
func (d *Device) JID() xmpp.JID { return d.jid }

// Pending returns the ids of messages that the server has not handled, as far as the device
// knows, in order.
func (d *Device) Pending() (ids []string) {
	for _, s := range d.pending {
		if s.id != "" {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// Connect logs in and goes on with its session; or begins another where there is none, or
// afresh is set. It says again what was not handled.
func (d *Device) Connect(afresh bool) (resumed bool, err error) {
	if afresh || !d.SM {
		d.id = ""
	}
	d.answers = map[string]*xmpp.Stanza{}
	d.wired = 0
	d.note("- ", "connects")
	if d.c, err = Try(d.Options); err != nil {
		return false, err
	}
	d.c.Silent = true
	if err = d.c.Start(); err == nil {
		if d.Login.SASL2 {
			resumed, err = d.enterInline()
		} else {
			resumed, err = d.enter()
		}
	}
	if err == nil {
		err = d.repeat()
	}
	if err == nil && !resumed && d.Carbons && !d.Login.SASL2 {
		err = d.Say("<iq type='set' id='carbons'>" + enableCC + "</iq>")
	}
	if err != nil {
		d.Drop()
	}
	return resumed, err
}

// enter logs in, and resumes or binds after that.
func (d *Device) enter() (resumed bool, err error) {
	l := d.Login
	l.NoBind = true
	if err := d.c.TryLogin(l); err != nil {
		return false, err
	}
	if d.id != "" {
		if err := d.c.Write(d.resumption()); err != nil {
			return false, err
		}
		st, err := d.c.Read()
		if err != nil {
			return false, err
		}
		if st.Name.Local == "resumed" {
			return true, d.goesOn(st.Attr)
		}
		if st.Name.Local != "failed" {
			return false, fmt.Errorf("got %s for <resume/>", st)
		}
	}
	if err := d.c.Bind(l.Resource); err != nil {
		return false, err
	}
	d.begins()
	if d.SM {
		if err := d.enable(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// enable begins stream management. Messages for the full address may come before the answer,
// and what answers these counts.
func (d *Device) enable() error {
	before := d.pending
	d.pending = nil
	defer func() {
		d.wired = len(d.pending)
		d.pending = append(d.pending, before...)
	}()
	if err := d.c.Write(enableSM); err != nil {
		return err
	}
	for {
		st, err := d.c.Read()
		if err != nil {
			return err
		}
		if st.Name == (xmpp.Name{Space: nsSM, Local: "enabled"}) {
			d.id, _ = st.Attr("id")
			d.managed, d.in = true, 0
			return nil
		}
		if err := d.take(st); err != nil {
			return err
		}
	}
}

// enterInline does all of that in one element (XEP-0388 §2.3, XEP-0386 §3.2, XEP-0198 §9.2).
func (d *Device) enterInline() (resumed bool, err error) {
	l := d.Login
	if d.Agent != "" {
		l.Extra += "<user-agent id='" + d.Agent + "'><software>device</software></user-agent>"
	}
	if d.id != "" {
		l.Extra += d.resumption()
	}
	if d.SM {
		l.Inline += enableSM
	}
	if d.Carbons {
		l.Inline += enableCC
	}
	st, err := d.c.Authenticate(l)
	if err != nil {
		return false, err
	}
	if st.Name.Local != "success" {
		return false, fmt.Errorf("login failed: %s", st)
	}
	if r := st.Child(nsSM, "resumed"); !r.IsZero() {
		return true, d.goesOn(r.LookupAttr)
	}
	if err := d.c.LoggedIn(l, st); err != nil {
		return false, err
	}
	d.begins()
	if d.SM {
		if d.id = st.Child(nsBind2, "bound").Child(nsSM, "enabled").Attr("id"); d.id == "" {
			return false, fmt.Errorf("no stream management in %s", st)
		}
		d.managed = true
	}
	return false, nil
}

func (d *Device) resumption() string {
	return fmt.Sprintf("<resume xmlns='%s' previd='%s' h='%d'/>", nsSM, d.id, d.in)
}

// begins notes that a session begins: all is counted anew, and of what was said before the
// messages remain.
func (d *Device) begins() {
	d.jid, d.id, d.managed, d.in, d.out, d.here, d.handed, d.told = d.c.JID, "", false, 0, 0, false, nil, 0
	kept := d.pending[:0]
	for _, s := range d.pending {
		if s.id != "" && d.SM {
			kept = append(kept, s)
		}
	}
	d.pending = kept
}

// goesOn takes <resumed/>.
func (d *Device) goesOn(attr func(string) (string, bool)) error {
	h, _ := attr("h")
	d.note("- ", "resumed, h="+h)
	d.c.JID = d.jid
	d.told = len(d.handed) // <resume/> has said so
	return d.handled(h)
}

// repeat says again what is not handled.
func (d *Device) repeat() error {
	for _, s := range d.pending[d.wired:] {
		if err := d.write(s.xml); err != nil {
			return err
		}
	}
	return nil
}

// handled takes the server's count (XEP-0198 §4).
func (d *Device) handled(h string) error {
	n, err := strconv.ParseUint(h, 10, 32)
	if err != nil {
		return err
	}
	more := uint32(n) - d.out
	if more > uint32(len(d.pending)) {
		return &Wrong{fmt.Sprintf("%s: the server says h=%s, where %d are handled and %d are not", d.jid, h, d.out, len(d.pending))}
	}
	d.settle(int(more))
	d.out = uint32(n)
	return nil
}

func (d *Device) settle(n int) {
	list := d.pending[:n:n]
	d.pending = d.pending[n:]
	for _, s := range list {
		if s.id != "" && d.Handled != nil {
			d.Handled(s.id)
		}
	}
}

// Wrong is what a server must never do. Other errors are those of a connection.
type Wrong struct{ What string }

func (w *Wrong) Error() string { return w.What }

// trailLen is how many elements Trail has.
const trailLen = 300

// Trail is what was last written and read, for who has to explain what went wrong.
func (d *Device) Trail() string { return strings.Join(d.trail, "\n") }

func (d *Device) note(way, xml string) {
	if len(d.trail) == trailLen {
		d.trail = append(d.trail[:0], d.trail[1:]...)
	}
	d.trail = append(d.trail, time.Now().UTC().Format("05.000 ")+way+xml[:min(len(xml), 400)])
}

// Message says a message. Its xml has this id.
func (d *Device) Message(id, xml string) error { return d.say(said{id, xml}) }

// Say says a stanza that is none to be said again in another session.
func (d *Device) Say(xml string) error { return d.say(said{"", xml}) }

func (d *Device) say(s said) error {
	d.pending = append(d.pending, s)
	return d.write(s.xml)
}

func (d *Device) write(xml string) error {
	d.note("> ", xml)
	if d.c == nil {
		return io.ErrClosedPipe
	}
	return d.c.Write(xml)
}

// Nonza says what is no stanza and so not counted.
func (d *Device) Nonza(xml string) error { return d.write(xml) }

// Presence becomes available with a priority, and returns when the server knows. What the
// device says that it has is taken by the account only then.
func (d *Device) Presence(priority int) error {
	d.here = false
	err := d.Say(fmt.Sprintf("<presence><priority>%d</priority></presence>", priority))
	if err == nil {
		err = d.Sync()
	}
	d.here = err == nil && priority >= 0
	return err
}

// Sync pings the server and returns when it answers: what was said before is done. Where
// there are no counts that is what says so.
func (d *Device) Sync() error {
	d.serial++
	id := "sync" + strconv.Itoa(d.serial)
	sure, said := d.handed[:d.told:d.told], len(d.pending)
	if d.managed {
		if err := d.write("<r xmlns='" + nsSM + "'/>"); err != nil {
			return err
		}
	}
	if _, err := d.Ask(id, "<iq type='get' id='"+id+"'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
		return err
	}
	if !d.managed {
		d.settle(said)
		return nil
	}
	d.handed, d.told = d.handed[len(sure):], d.told-len(sure)
	if d.Sure != nil && len(sure) > 0 {
		d.Sure(sure)
	}
	return nil
}

// Ask says a request and returns its answer.
func (d *Device) Ask(id, xml string) (*xmpp.Stanza, error) {
	if err := d.Say(xml); err != nil {
		return nil, err
	}
	d.answers[id] = nil
	for d.answers[id] == nil {
		if err := d.next(Patience); err != nil {
			return nil, err
		}
	}
	st := d.answers[id]
	delete(d.answers, id)
	return st, nil
}

// Take takes what comes within a time.
func (d *Device) Take(within time.Duration) error {
	for end := time.Now().Add(within); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := d.next(left); err != nil && !isTimeout(err) {
			return err
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// next takes the next element.
func (d *Device) next(within time.Duration) error {
	if d.c == nil {
		return io.ErrClosedPipe
	}
	st, err := d.c.ReadWithin(within)
	if err != nil {
		return err
	}
	return d.take(st)
}

// Leave ends the stream in good order.
func (d *Device) Leave() error {
	err := d.write("</stream:stream>")
	for err == nil {
		err = d.next(Patience)
	}
	d.id = ""
	d.Drop()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Drop breaks the connection without a word.
func (d *Device) Drop() {
	if d.c != nil {
		d.c.Conn.Close()
		d.c = nil
	}
}

// element takes an element of stream management.
func (d *Device) element(st *xmpp.Stanza) error {
	switch st.Name.Local {
	case "r":
		d.told = len(d.handed)
		return d.write("<a xmlns='" + nsSM + "' h='" + strconv.FormatUint(uint64(d.in), 10) + "'/>")
	case "a":
		h, _ := st.Attr("h")
		return d.handled(h)
	}
	return &Wrong{"unasked: " + st.String()}
}

// request answers the server's or somebody's request.
func (d *Device) request(st *xmpp.Stanza) error {
	if d.Mute && strings.HasPrefix(st.ID, "read-") {
		return nil
	}
	answer := xmpp.Result(st, nil)
	if !st.Has("urn:xmpp:ping", "ping") && !strings.HasPrefix(st.Payload().Name().Space, "jabber:iq:roster") {
		answer = xmpp.Bounce(st, xmpp.Refuse("service-unavailable", ""))
	}
	return d.Say(answer.String())
}

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

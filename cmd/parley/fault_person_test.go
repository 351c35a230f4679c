package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"parley/xmpp/xmpptest"
)

// What a device can do.
type skill uint8

const (
	manages skill = 1 << iota // stream management
	copies                    // carbons
	binds2                    // Bind 2; it then reads the archive
)

// A person is one device of somebody, over all lives of the server.
type person struct {
	xmpptest.Device
	w      *trial
	user   string
	name   string // user and resource
	rnd    *rand.Rand
	said   int
	order  map[string]int // in this session: device -> the last of its messages that came
	synced string         // up to where it has read the archive
}

// person makes one of another's devices.
func (w *trial) person(user, resource string, can skill) *person {
	p := &person{w: w, user: user, name: user + "-" + resource, rnd: rand.New(rand.NewPCG(w.rnd.Uint64(), 198))}
	p.Device = xmpptest.Device{
		Login:   xmpptest.Login{User: user, Password: "pw", Resource: resource, SASL2: can&binds2 != 0},
		Agent:   "d4565fa7-4d72-4749-b3d3-740edbf87770",
		SM:      can&manages != 0,
		Carbons: can&copies != 0,
		Hear:    func(h *xmpptest.Heard) { w.book.hear(p, h) },
		Handled: w.book.acknowledged,
		Sure: func(list []*xmpptest.Heard) {
			w.book.taken(p, list, time.Now())
		},
	}
	return p
}

// address is where a server listens in this life.
func address(c *child) xmpptest.Options {
	return xmpptest.Options{Addr: c.direct, Host: "localhost", Direct: true,
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}}}
}

// enter connects: it goes on with its session or begins another, and then does what a client
// does first.
func (p *person) enter() error {
	p.Options = address(p.w.child)
	p.w.book.repeated(p.Pending())
	resumed, err := p.Connect(p.rnd.IntN(5) == 0)
	if err != nil || resumed {
		return err
	}
	p.order = map[string]int{}
	p.w.book.moved(p.user, p.name, p.JID().String())
	if p.Login.SASL2 {
		if p.synced, err = p.CatchUp(p.synced, 50); err != nil {
			return err
		}
	}
	return p.Presence(p.rnd.IntN(3))
}

// lives talks until the server dies.
func (p *person) lives(begun chan<- struct{}) {
	for {
		err := p.enter()
		select {
		case begun <- struct{}{}:
		default:
		}
		for err == nil && p.Online() {
			err = p.step()
		}
		if err != nil {
			p.Drop()
			p.blames(err)
			return
		}
		time.Sleep(time.Duration(p.rnd.IntN(30)) * time.Millisecond)
		if p.w.dying.Load() {
			return
		}
	}
}

// blames says whose fault an error is: that of the kill, or the server's.
func (p *person) blames(err error) {
	var wrong *xmpptest.Wrong
	if errors.As(err, &wrong) || !p.w.dying.Load() {
		p.w.t.Errorf("%s: %v\n%s", p.name, err, p.w.log)
	}
}

func (p *person) step() error {
	switch n := p.rnd.IntN(60); {
	case n < 10 && !p.w.calm.Load():
		for range 1 + p.rnd.IntN(4) {
			if err := p.writes(); err != nil {
				return err
			}
		}
	case n < 22:
		return p.Sync()
	case n == 30: // not a word
		p.Drop()
		return nil
	case n == 31:
		return p.Leave()
	}
	return p.Take(time.Duration(1+p.rnd.IntN(12)) * time.Millisecond)
}

// writes says a message to the other one.
func (p *person) writes() error {
	p.said++
	l := &letter{from: p.user, device: p.name, n: p.said, id: fmt.Sprintf("%s-%d", p.name, p.said)}
	l.to, l.recipient = p.w.book.addressee(p.user, p.rnd)
	hint := ""
	switch {
	case p.w.book.unarchived:
		l.passing = true
	case p.rnd.IntN(12) == 0:
		l.passing, hint = true, "<no-permanent-store xmlns='urn:xmpp:hints'/>"
	}
	p.w.book.writes(l)
	return p.Message(l.id, fmt.Sprintf("<message type='chat' id='%s' to='%s'><body>%s</body>%s</message>", l.id, l.to, l.body(), hint))
}

// audit reads an account's archive behind an id, on a connection that takes no message and
// acknowledges none, and returns the last id.
func (w *trial) audit(user, after string, each func(user string, e entry)) string {
	w.t.Helper()
	d := xmpptest.Device{Options: address(w.child), Login: xmpptest.Login{User: user, Password: "pw", Resource: "auditor"}, Mute: true,
		Hear: func(h *xmpptest.Heard) {
			if h.Way == xmpptest.Result {
				w.book.authentic(user, h)
				each(user, entry{h.ID, h.Archived})
			}
		}}
	_, err := d.Connect(true)
	if err == nil {
		after, err = d.CatchUp(after, 250)
	}
	if err == nil {
		err = d.Leave()
	}
	if err != nil {
		w.t.Fatalf("%s's archive cannot be read: %v\n%s", user, err, w.log)
	}
	return after
}

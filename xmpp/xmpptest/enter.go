package xmpptest

import (
	"fmt"

	"parley/xmpp"
)

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

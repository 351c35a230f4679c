package muc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// What operators do with rooms. It has the same effects as the stanzas that owners send: who is
// in a room hears of it.

// Errors of what operators do.
var (
	ErrNoRoom = errors.New("there is no such room")
	ErrRoom   = errors.New("there is such a room already")
	ErrNone   = errors.New("this is the address of no room")
)

// Line is a room as a list of rooms has it.
type Line struct {
	Room      string `json:"room"`
	Name      string `json:"name"`
	Public    bool   `json:"public"`
	Occupants int    `json:"occupants"`
}

// Info is what is shown of a room.
type Info struct {
	Room         string            `json:"room"`
	Locked       bool              `json:"locked"`
	Subject      string            `json:"subject"`
	Config       map[string]string `json:"config"` // by the names that Configure takes
	Affiliations []Affiliation     `json:"affiliations"`
	Occupants    []Occupant        `json:"occupants"`
}

// Affiliation is an entry of a room's lists.
type Affiliation struct {
	Who         string `json:"who"` // a bare address, or a domain
	Affiliation string `json:"affiliation"`
	Nick        string `json:"nick,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// Occupant is somebody in a room.
type Occupant struct {
	Nick        string   `json:"nick"`
	Role        string   `json:"role"`
	Affiliation string   `json:"affiliation"`
	Sessions    []string `json:"sessions"`
}

// roomJID checks that an address is a room's.
func (s *Service) roomJID(jid xmpp.JID) error {
	if !s.Has(jid.Domain()) || jid.Local() == "" || !jid.IsBare() {
		return ErrNone
	}
	return nil
}

// List returns up to n rooms of a domain of rooms behind an address ("" for the first ones), in
// the order of the addresses; hidden ones only where all is set.
func (s *Service) List(ctx context.Context, domain, after string, all bool, n int) (list []Line, err error) {
	err = s.store.Read(ctx, func(tx *storage.Tx) error {
		found, err := roomsBehind(tx, domain, after, all, n)
		list = make([]Line, 0, len(found))
		for _, r := range found {
			list = append(list, Line{Room: r.jid, Name: r.name, Public: r.public})
		}
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		if j, err := xmpp.ParseJID(list[i].Room); err == nil && s.rooms[j] != nil {
			if now := s.rooms[j].public.Load(); now != nil {
				list[i].Occupants = now.occupants
			}
		}
	}
	return list, err
}

// Domains returns the domains that have rooms.
func (s *Service) Domains() (list []string) {
	for _, host := range s.router.Hosts() {
		if j, ok := s.domainOf(host); ok {
			list = append(list, j.Domain())
		}
	}
	return list
}

// Show returns what there is to know of a room.
func (s *Service) Show(jid xmpp.JID) (in Info, err error) {
	if err := s.roomJID(jid); err != nil {
		return in, err
	}
	err = s.do(jid, func(t *turn) error {
		if !t.exists {
			return ErrNoRoom
		}
		in = Info{Room: jid.String(), Locked: t.locked, Subject: t.subject.text, Config: map[string]string{}, Affiliations: []Affiliation{}, Occupants: []Occupant{}}
		for _, fd := range t.form().Fields {
			if name := shortName(fd.Var); name != "" {
				in.Config[name] = strings.Join(fd.Values, ",")
			}
		}
		for _, a := range []affiliation{owner, admin, member, outcast, none} {
			for _, j := range t.lists.with(a) {
				e := t.lists.by[j]
				in.Affiliations = append(in.Affiliations, Affiliation{j.String(), a.String(), e.nick, e.reason})
			}
		}
		for _, o := range t.occupants {
			occ := Occupant{Nick: o.nick(), Role: o.role.String(), Affiliation: o.aff.String()}
			for _, seat := range o.seats {
				occ.Sessions = append(occ.Sessions, seat.jid.String())
			}
			in.Occupants = append(in.Occupants, occ)
		}
		return nil
	})
	return in, err
}

// shortName is what a field of the form is called in commands: without what stands before all
// of them. The lists have a command of their own.
func shortName(field string) string {
	switch field {
	case "FORM_TYPE", "muc#roomconfig_roomadmins", "muc#roomconfig_roomowners":
		return ""
	}
	name := strings.TrimPrefix(strings.TrimPrefix(field, "muc#roomconfig_"), "muc#roominfo_")
	return strings.TrimPrefix(name, "muc#")
}

// Create makes a room that is open at once. Without an owner operators are the only ones who
// configure it.
func (s *Service) Create(jid, by xmpp.JID, config map[string]string) error {
	if err := s.roomJID(jid); err != nil {
		return err
	}
	return s.do(jid, func(t *turn) error {
		if t.exists {
			return ErrRoom
		}
		cfg := t.settings().Defaults
		t.room.cfg = &cfg // of a room that is not there yet
		in, err := t.filledIn(config)
		if err != nil {
			return err
		}
		whole, err := t.filled(in)
		if err != nil {
			return err
		}
		if err := t.found(whole, by.Bare(), false); err != nil {
			return err
		}
		t.s.log.Info("room made", "room", jid.String(), "by", "the operator", "owner", by.Bare().String())
		return nil
	})
}

// Configure changes the configuration of a room. An unknown name is an error that says which
// there are.
func (s *Service) Configure(jid xmpp.JID, config map[string]string) error {
	return s.existing(jid, func(t *turn) error { return t.operate(config) })
}

// existing runs fn in a turn of a room that is there.
func (s *Service) existing(jid xmpp.JID, fn func(*turn) error) error {
	if err := s.roomJID(jid); err != nil {
		return err
	}
	return s.do(jid, func(t *turn) error {
		if !t.exists {
			return ErrNoRoom
		}
		return fn(t)
	})
}

// operate fills in the form as an owner would.
func (t *turn) operate(config map[string]string) error {
	if len(config) == 0 {
		return nil
	}
	in, err := t.filledIn(config)
	if err != nil {
		return err
	}
	return t.asOperator(func(q request) error { return t.configure(q, in) })
}

// filledIn is the form filled in with settings by their short names.
func (t *turn) filledIn(config map[string]string) (xmpp.Form, error) {
	in := xmpp.Form{Type: "submit", Fields: []xmpp.Field{xmpp.FormType(nsConfig)}}
	var names []string
	for _, fd := range t.form().Fields {
		name := shortName(fd.Var)
		if name == "" {
			continue
		}
		names = append(names, name)
		v, there := config[name]
		if !there {
			continue
		}
		values := []string{v}
		if fd.Type == "list-multi" || fd.Type == "jid-multi" {
			values = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		}
		in.Fields = append(in.Fields, xmpp.Field{Var: fd.Var, Values: values})
	}
	for name := range config {
		if !slices.Contains(names, name) {
			return in, fmt.Errorf("a room has no setting %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return in, nil
}

// asOperator does something that owners may do, and what follows behind the answer.
func (t *turn) asOperator(fn func(request) error) error {
	var later []func()
	nobody := xmpp.NewStanza(xmpp.IQ, nil)
	nobody.To = t.jid
	err := fn(request{st: nobody, aff: owner, later: &later})
	for _, fn := range later {
		fn()
	}
	return err
}

// Affiliate changes what somebody, or a whole domain, is to a room.
func (s *Service) Affiliate(jid, who xmpp.JID, name, reason string) error {
	aff, ok := parseAffiliation(name)
	if !ok {
		return fmt.Errorf("%q is none of owner, admin, member, none, outcast", name)
	}
	switch {
	case aff >= member && s.Has(who.Domain()):
		return fmt.Errorf("%s is no person's address", who)
	case aff >= admin && who.Local() == "":
		return fmt.Errorf("%s is a whole domain, which does not run a room: it may be member, none or outcast", who)
	}
	return s.existing(jid, func(t *turn) error {
		c := change{jid: who.Bare(), aff: aff, reason: reason}
		if t.noOwner([]change{c}) {
			return errors.New("the room has no other owner; make somebody its owner first")
		}
		if _, there := t.lists.by[c.jid]; !there && aff != none && len(t.lists.by) >= t.settings().Affiliations {
			return fmt.Errorf("the lists of the room are full (rooms.max_affiliations)")
		}
		err := t.asOperator(func(q request) error { return t.apply(q, []change{c}) })
		if err == nil {
			t.s.log.Info("affiliation changed", "room", jid.String(), "who", c.jid.String(), "to", aff.String(), "by", "the operator")
		}
		return err
	})
}

// Destroy ends a room for good, with all that was said in it. Who is in it hears the reason, and
// where to go instead (the zero JID for nowhere).
func (s *Service) Destroy(jid, alternate xmpp.JID, reason string) error {
	return s.existing(jid, func(t *turn) error {
		err := t.destroy(alternate, reason, "")
		if err == nil {
			s.log.Info("room destroyed", "room", jid.String(), "by", "the operator")
		}
		return err
	})
}

// OnlyOwner returns the rooms whose only owner is a bare address: nobody runs them when that
// is gone, until an operator names somebody.
func (s *Service) OnlyOwner(ctx context.Context, who xmpp.JID) (rooms []string, err error) {
	err = s.store.Read(ctx, func(tx *storage.Tx) (err error) {
		rooms, err = ownedAlone(tx, who)
		return err
	})
	return rooms, err
}

package muc

import (
	"slices"
	"strconv"
	"strings"

	"parley/xmpp"
)

// form is how the room is configured, as a form (XEP-0045 §10.2, §16.5.3).
func (t *turn) form() xmpp.Form {
	c := t.cfg
	f := xmpp.Form{
		Type: "form", Title: "Configuration of " + t.jid.String(),
		Fields: []xmpp.Field{
			xmpp.FormType(nsConfig),
			text("muc#roomconfig_roomname", "Name", c.Name),
			text("muc#roomconfig_roomdesc", "What it is about", c.Description),
			text("muc#roomconfig_lang", "Language (a tag such as en)", c.Lang),
			boolean("muc#roomconfig_persistentroom", "The room stays when nobody is in it", c.Persistent),
			boolean("muc#roomconfig_publicroom", "The room is in the list of rooms", c.Public),
			boolean("muc#roomconfig_membersonly", "Only members may enter", c.MembersOnly),
			boolean("muc#roomconfig_allowinvites", "Everybody may invite; in a room for members only, who is invited becomes a member", c.AllowInvites),
			boolean("muc#roomconfig_passwordprotectedroom", "A password is wanted", c.Password != ""),
			{Var: "muc#roomconfig_roomsecret", Type: "text-private", Label: "Password", Values: []string{c.Password}},
			choice("muc#roomconfig_whois", "Who may see addresses", c.whois(), "moderators", "Moderators", "anyone", "Everybody"),
			boolean("muc#roomconfig_moderatedroom", "Only who is given voice may speak", c.Moderated),
			boolean("muc#roomconfig_changesubject", "Everybody may change the subject", c.ChangeSubject),
			choice("muc#roomconfig_allowpm", "Who may send private messages", c.allowPM(),
				"anyone", "Everybody", "participants", "Who has voice", "moderators", "Moderators", "none", "Nobody"),
			boolean("muc#roomconfig_enablelogging", "What is said is kept, and can be read later", c.Archive),
			text("muc#maxhistoryfetch", "How many messages are told to who enters", strconv.Itoa(c.History)),
			choice("muc#roomconfig_maxusers", "How many may be in the room", c.maxUsers(),
				"none", "As many as the server allows", "10", "10", "20", "20", "50", "50", "100", "100", "200", "200", "500", "500", "1000", "1000"),
			many("muc#roomconfig_presencebroadcast", "Whose presence is shown to the others", c.broadcast(),
				"moderator", "Moderators", "participant", "Who has voice", "visitor", "Who has none"),
			many("muc#roomconfig_getmemberlist", "Who may read the lists", c.memberList(),
				"moderator", "Moderators", "participant", "Who has voice", "visitor", "Who has none"),
			text("muc#roomconfig_pubsub", "The node that belongs to the room (an xmpp: address)", c.Pubsub),
			{Var: "muc#roominfo_contactjid", Type: "jid-multi", Label: "Whom to ask about the room", Values: c.Contacts},
			boolean("muc#roomconfig_allow_voice_requests", "Who has no voice may ask for it", !c.NoVoice),
			t.slowField(),
			{Var: "muc#roomconfig_roomadmins", Type: "jid-multi", Label: "Administrators", Values: texts(t.lists.with(admin))},
			{Var: "muc#roomconfig_roomowners", Type: "jid-multi", Label: "Owners", Values: texts(t.lists.with(owner))},
		},
	}
	return f
}

func text(name, label, value string) xmpp.Field {
	return xmpp.Field{Var: name, Type: "text-single", Label: label, Values: []string{value}}
}

func boolean(name, label string, value bool) xmpp.Field {
	v := "0"
	if value {
		v = "1"
	}
	return xmpp.Field{Var: name, Type: "boolean", Label: label, Values: []string{v}}
}

func choice(name, label, value string, options ...string) xmpp.Field {
	f := many(name, label, []string{value}, options...)
	f.Type = "list-single"
	return f
}

func many(name, label string, values []string, options ...string) xmpp.Field {
	f := xmpp.Field{Var: name, Type: "list-multi", Label: label, Values: values}
	there := map[string]bool{}
	for i := 0; i < len(options); i += 2 {
		f.Options = append(f.Options, xmpp.Option{Label: options[i+1], Value: options[i]})
		there[options[i]] = true
	}
	for _, v := range values {
		if !there[v] {
			f.Options = append(f.Options, xmpp.Option{Label: v, Value: v})
		}
	}
	return f
}

func texts(list []xmpp.JID) (out []string) {
	for _, j := range list {
		out = append(out, j.String())
	}
	return out
}

func (c *RoomConfig) whois() string {
	if c.NonAnonymous {
		return "anyone"
	}
	return "moderators"
}

func (c *RoomConfig) allowPM() string {
	if c.AllowPM == "" {
		return "anyone"
	}
	return c.AllowPM
}

func (c *RoomConfig) maxUsers() string {
	if c.MaxUsers == 0 {
		return "none"
	}
	return strconv.Itoa(c.MaxUsers)
}

// broadcast returns the roles whose presence is shown.
func (c *RoomConfig) broadcast() (list []string) {
	for _, r := range []role{moderator, participant, visitor} {
		if !slices.Contains(c.HidePresence, r.String()) {
			list = append(list, r.String())
		}
	}
	return list
}

// memberList returns the roles that may read the lists of members, admins and owners.
func (c *RoomConfig) memberList() []string {
	switch {
	case c.MemberList != nil:
		return c.MemberList
	case c.NonAnonymous:
		return []string{"moderator", "participant", "visitor"}
	}
	return []string{"moderator"}
}

// configure takes a filled form (XEP-0045 §10.2).
func (t *turn) configure(q request, in xmpp.Form) error {
	cfg, err := t.filled(in)
	if err != nil {
		return err
	}
	list, err := t.listChanges(q, in)
	if err != nil {
		return err
	}
	was := t.cfg
	write, then := t.entries(list)
	if err := t.open(cfg, write); err != nil {
		return err
	}
	t.s.log.Info("room configured", "room", t.jid.String(), "by", who(q))
	t.effect(q, list, then())
	q.after(func() { t.reconfigured(was) })
	return nil
}

// filled is the configuration that a filled form makes of the present one.
func (t *turn) filled(in xmpp.Form) (*RoomConfig, error) {
	offered := t.form()
	openTo(&offered, in, "muc#roomconfig_maxusers")
	form, err := offered.Accept(in)
	if err != nil {
		return nil, xmpp.Refuse("not-acceptable", err.Error()) // XEP-0045 §10.2
	}
	if ns := in.Value("FORM_TYPE"); ns != "" && ns != nsConfig {
		return nil, wrong("the FORM_TYPE is " + nsConfig)
	}
	cfg := *t.cfg
	if err := cfg.fill(in, form, t.settings()); err != nil {
		return nil, err
	}
	return &cfg, nil
}

// who is who asks, as the log has it.
func who(q request) string {
	if q.st.From.IsZero() {
		return "the operator"
	}
	return q.st.From.Bare().String()
}

// openTo has a choice offer what was chosen, too: the list of numbers is not all there is.
func openTo(f *xmpp.Form, in xmpp.Form, name string) {
	for i := range f.Fields {
		if fd := &f.Fields[i]; fd.Var == name {
			for _, v := range in.Values(name) {
				fd.Options = append(fd.Options, xmpp.Option{Label: v, Value: v})
			}
		}
	}
}

// fill takes what the form says. Fields that it leaves out stay (XEP-0004 §3.2).
func (c *RoomConfig) fill(in, form xmpp.Form, lim *Settings) error {
	has := func(name string) bool { return in.Values(name) != nil || hasField(in, name) }
	flag := func(name string, into *bool) {
		if has(name) {
			v := form.Value(name)
			*into = v == "1" || v == "true"
		}
	}
	str := func(name string, into *string, most int) error {
		if has(name) {
			if *into = strings.TrimSpace(form.Value(name)); len(*into) > most {
				return xmpp.Refuse("not-acceptable", name+" is too long")
			}
		}
		return nil
	}
	for _, s := range []struct {
		name string
		into *string
		most int
	}{
		{"muc#roomconfig_roomname", &c.Name, 256}, {"muc#roomconfig_roomdesc", &c.Description, 2048},
		{"muc#roomconfig_lang", &c.Lang, 64}, {"muc#roomconfig_pubsub", &c.Pubsub, 1024}, {"muc#roomconfig_allowpm", &c.AllowPM, 32},
	} {
		if err := str(s.name, s.into, s.most); err != nil {
			return err
		}
	}
	flag("muc#roomconfig_persistentroom", &c.Persistent)
	flag("muc#roomconfig_publicroom", &c.Public)
	flag("muc#roomconfig_membersonly", &c.MembersOnly)
	flag("muc#roomconfig_allowinvites", &c.AllowInvites)
	flag("muc#roomconfig_moderatedroom", &c.Moderated)
	flag("muc#roomconfig_changesubject", &c.ChangeSubject)
	flag("muc#roomconfig_enablelogging", &c.Archive)
	voice := !c.NoVoice
	flag("muc#roomconfig_allow_voice_requests", &voice)
	c.NoVoice = !voice
	if has("muc#roomconfig_whois") {
		c.NonAnonymous = form.Value("muc#roomconfig_whois") == "anyone"
	}
	if has("muc#roominfo_contactjid") {
		c.Contacts = form.Values("muc#roominfo_contactjid")
	}
	if has("muc#roomconfig_getmemberlist") {
		c.MemberList = append([]string{}, form.Values("muc#roomconfig_getmemberlist")...)
	}
	if has("muc#roomconfig_presencebroadcast") {
		c.HidePresence = nil
		for _, r := range []role{moderator, participant, visitor} {
			if !slices.Contains(form.Values("muc#roomconfig_presencebroadcast"), r.String()) {
				c.HidePresence = append(c.HidePresence, r.String())
			}
		}
	}
	if err := c.fillNumbers(form, has, lim); err != nil {
		return err
	}
	if err := c.fillSlow(form, has); err != nil {
		return err
	}
	return c.fillPassword(in, form, has)
}

func hasField(f xmpp.Form, name string) bool {
	return slices.ContainsFunc(f.Fields, func(fd xmpp.Field) bool { return fd.Var == name })
}

func (c *RoomConfig) fillNumbers(form xmpp.Form, has func(string) bool, lim *Settings) error {
	if has("muc#maxhistoryfetch") {
		n, err := strconv.Atoi(strings.TrimSpace(form.Value("muc#maxhistoryfetch")))
		if err != nil || n < 0 {
			return xmpp.Refuse("not-acceptable", "muc#maxhistoryfetch is a number")
		}
		c.History = min(n, lim.History)
	}
	if has("muc#roomconfig_maxusers") {
		switch v := strings.TrimSpace(form.Value("muc#roomconfig_maxusers")); v {
		case "", "none", "0":
			c.MaxUsers = 0
		default:
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return xmpp.Refuse("not-acceptable", "muc#roomconfig_maxusers is a number, or none")
			}
			c.MaxUsers = n
		}
	}
	return nil
}

// fillPassword takes the password, where one is wanted and is said (XEP-0045 §10.1.3).
func (c *RoomConfig) fillPassword(in, form xmpp.Form, has func(string) bool) error {
	secret := form.Value("muc#roomconfig_roomsecret")
	if len(secret) > 1024 {
		return xmpp.Refuse("not-acceptable", "the password is too long")
	}
	if has("muc#roomconfig_roomsecret") && secret != "" {
		c.Password = secret
	}
	if !has("muc#roomconfig_passwordprotectedroom") {
		return nil
	}
	switch v := form.Value("muc#roomconfig_passwordprotectedroom"); {
	case v != "1" && v != "true":
		c.Password = ""
	case c.Password == "":
		return xmpp.Refuse("not-acceptable", "a password is missing")
	}
	return nil
}

// listChanges are what a form says of admins and owners: who is named becomes one, and who is
// not named is none any more.
func (t *turn) listChanges(q request, in xmpp.Form) (list []change, err error) {
	if !hasField(in, "muc#roomconfig_roomadmins") && !hasField(in, "muc#roomconfig_roomowners") {
		return nil, nil
	}
	want := map[xmpp.JID]affiliation{}
	for _, f := range []struct {
		name string
		aff  affiliation
	}{{"muc#roomconfig_roomadmins", admin}, {"muc#roomconfig_roomowners", owner}} {
		if !hasField(in, f.name) {
			for _, j := range t.lists.with(f.aff) {
				want[j] = max(want[j], f.aff)
			}
			continue
		}
		for _, v := range in.Values(f.name) {
			if strings.TrimSpace(v) == "" {
				continue
			}
			j, err := xmpp.ParseJID(strings.TrimSpace(v))
			if err != nil || j.Local() == "" {
				return nil, xmpp.Refuse("jid-malformed", "")
			}
			if t.s.router.Visits(j) {
				return nil, errRoomInRoom
			}
			want[j.Bare()] = max(want[j.Bare()], f.aff)
		}
	}
	owners := 0
	for _, a := range want {
		if a == owner {
			owners++
		}
	}
	if owners == 0 {
		return nil, xmpp.Refuse("conflict", "a room has an owner") // XEP-0045 §10.5
	}
	for j, a := range want {
		if t.lists.by[j].aff != a || t.lists.by[j] == (entry{}) {
			list = append(list, change{jid: j, aff: a})
		}
	}
	for _, a := range []affiliation{admin, owner} {
		for _, j := range t.lists.with(a) {
			if _, stays := want[j]; !stays {
				list = append(list, change{jid: j, aff: none})
			}
		}
	}
	if len(list) > maxItems || len(t.lists.by)+len(list) > t.settings().Affiliations {
		t.s.stats.Refused.Add(1)
		return nil, xmpp.Refuse("resource-constraint", "the room's lists are full")
	}
	return list, nil
}

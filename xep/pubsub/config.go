package pubsub

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"parley/xmpp"
)

// Access models (XEP-0060 §4.5).
const (
	accessOpen      = "open"
	accessPresence  = "presence"
	accessRoster    = "roster"
	accessAuthorize = "authorize"
	accessWhitelist = "whitelist"
)

// When the last item is sent, and what becomes of a node that is full.
const (
	lastNever    = "never"
	lastOnSub    = "on_sub"
	lastPresence = "on_sub_and_presence"

	fullRetract = "retract-oldest"
	fullDiscard = "discard-oldest"
	fullReject  = "reject"
)

// config is how a node is configured (XEP-0060 §16.4.4). A number of 0 means as much as the
// server allows.
type config struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Type        string   `json:"type,omitempty"` // what the payloads are about
	Language    string   `json:"language,omitempty"`
	Contact     []string `json:"contact,omitempty"`

	Access  string   `json:"access"`
	Groups  []string `json:"groups,omitempty"` // of the roster, for accessRoster
	Publish string   `json:"publish"`          // publishers, subscribers or open

	Persist    bool   `json:"persist"`
	MaxItems   int    `json:"max_items"`
	Expire     int    `json:"expire"` // seconds; 0: never
	MaxPayload int    `json:"max_payload"`
	Full       string `json:"full"`

	SendLast  string `json:"send_last"`
	Deliver   bool   `json:"deliver"`
	Payloads  bool   `json:"payloads"`
	Config    bool   `json:"notify_config"`
	Delete    bool   `json:"notify_delete"`
	Retract   bool   `json:"notify_retract"`
	Sub       bool   `json:"notify_sub"`
	Subscribe bool   `json:"subscribe"`
	Kind      string `json:"kind"`  // of notifications: headline or normal
	Reply     string `json:"reply"` // publisher, where items say who has published them; none
}

// encode writes the configuration as it is kept.
func (c config) encode() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	return string(b)
}

// decode reads one; what it does not have is as by default.
func decode(s string) (c config, err error) {
	c = general()
	return c, json.Unmarshal([]byte(s), &c)
}

// general is how a node of an account is where nothing else is said (XEP-0163 §5).
func general() config {
	return config{
		Access: accessPresence, Publish: "publishers", Persist: true, MaxItems: 1, Full: fullRetract, SendLast: lastPresence,
		Deliver: true, Payloads: true, Delete: true, Retract: true, Subscribe: true, Kind: "headline", Reply: "none",
	}
}

// ordinary is how a node of a service is until somebody says otherwise (XEP-0060 §4.5).
func ordinary() config {
	c := general()
	c.Access, c.MaxItems, c.SendLast = accessOpen, 100, lastOnSub
	return c
}

// private is how a node is that is for the account's own clients (XEP-0223 §2).
func private(items int, last string) config {
	c := general()
	c.Access, c.MaxItems, c.SendLast = accessWhitelist, items, last
	return c
}

// public is how a node is that anybody may read (XEP-0222 §2).
func public(items int) config {
	c := general()
	c.Access, c.MaxItems = accessOpen, items
	return c
}

// defaults is how a node of an account is until somebody says otherwise: what the standards of
// well-known nodes ask for is so without any client's doing.
func defaults(name string) config {
	switch name {
	case "eu.siacs.conversations.axolotl.devicelist", "urn:xmpp:omemo:2:devices", "urn:xmpp:omemo:1:devices", // XEP-0384 §5.3.1
		"urn:xmpp:openpgp:0:public-keys": // XEP-0373 §4.1
		return public(1)
	case "urn:xmpp:omemo:2:bundles", "urn:xmpp:omemo:1:bundles": // XEP-0384 §5.3.2: an item for each device
		return public(0)
	case "urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0": // XEP-0402 §3.3, XEP-0490 §4.2
		return private(0, lastNever)
	case "storage:bookmarks", "urn:xmpp:openpgp:0:secret-key": // XEP-0048 §3.1, XEP-0373 §5
		return private(1, lastPresence)
	case "urn:xmpp:vcard4": // XEP-0292 §3
		return public(1)
	case "urn:xmpp:microblog:0": // XEP-0277: an item for each post
		c := general()
		c.MaxItems = 0
		return c
	}
	switch {
	case strings.HasPrefix(name, "eu.siacs.conversations.axolotl.bundles:"), strings.HasPrefix(name, "urn:xmpp:openpgp:0:public-keys:"):
		return public(1)
	case strings.HasPrefix(name, "storage:"):
		return private(1, lastPresence)
	}
	return general()
}

// A field is one of the configuration form. take reads what was filled in, and reports whether
// it makes sense.
type field struct {
	name, typ, label string
	options          []string
	give             func(*config) []string
	take             func(c *config, values []string) bool
}

func textField(name, label string, at func(*config) *string) field {
	return field{name, "text-single", label, nil,
		func(c *config) []string { return some(*at(c)) },
		func(c *config, v []string) bool { *at(c) = first(v); return len(v) <= 1 && len(first(v)) <= maxText }}
}

func boolField(name, label string, at func(*config) *bool) field {
	return field{name, "boolean", label, nil,
		func(c *config) []string { return []string{digit(*at(c))} },
		func(c *config, v []string) (ok bool) { *at(c), ok = truth(first(v)); return ok && len(v) == 1 }}
}

func choiceField(name, label string, options []string, at func(*config) *string) field {
	return field{name, "list-single", label, options,
		func(c *config) []string { return []string{*at(c)} },
		func(c *config, v []string) bool {
			*at(c) = first(v)
			return len(v) == 1 && slices.Contains(options, v[0])
		}}
}

// numberField is one of a number, or of the word for as much as the server allows.
func numberField(name, label, unbounded string, most int, at func(*config) *int) field {
	return field{name, "text-single", label, nil,
		func(c *config) []string {
			if *at(c) == 0 {
				return some(unbounded)
			}
			return []string{strconv.Itoa(*at(c))}
		},
		func(c *config, v []string) bool {
			s := first(v)
			if s == unbounded || s == "max" {
				*at(c) = 0
				return len(v) <= 1
			}
			n, err := strconv.ParseUint(s, 10, 31)
			if *at(c) = int(n); n >= uint64(most) { // it is what the server allows anyhow
				*at(c) = 0
			}
			return err == nil && len(v) == 1 && n > 0
		}}
}

func listField(name, typ, label string, at func(*config) *[]string) field {
	return field{name, typ, label, nil,
		func(c *config) []string { return *at(c) },
		func(c *config, v []string) bool {
			var list []string
			for _, s := range v { // of text of many lines Form.Accept makes one value
				list = append(list, strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })...)
			}
			slices.Sort(list)
			*at(c) = slices.Compact(list)
			return len(list) <= maxList
		}}
}

// fixedField is one that has no other value here: it may be given, and is not offered.
func fixedField(name, value string) field {
	return field{name, "", "", nil, func(*config) []string { return []string{value} }, func(_ *config, v []string) bool {
		if b, ok := truth(first(v)); ok && len(v) == 1 {
			return digit(b) == value
		}
		return slices.Equal(v, []string{value})
	}}
}

// Limits of what a configuration says.
const (
	maxText = 1024 // bytes of one line
	maxList = 100  // entries
)

// rules are what a configuration may say somewhere.
type rules struct {
	Limits
	service bool // of a domain of its own: it knows nothing of who comes online
}

// lasts are the times at which the last item may be sent.
func (r rules) lasts() []string {
	if r.service {
		return []string{lastNever, lastOnSub}
	}
	return []string{lastNever, lastOnSub, lastPresence}
}

// fields are those of the form (XEP-0060 §16.4.4), in its order. What is not among them is not
// there: collections, digests, transformations, leases.
func (r rules) fields() []field {
	l := r.Limits
	choice := func(s ...string) []string { return s }
	return []field{
		textField("pubsub#title", "Name", func(c *config) *string { return &c.Title }),
		textField("pubsub#description", "What it is about", func(c *config) *string { return &c.Description }),
		textField("pubsub#type", "What kind of data it has", func(c *config) *string { return &c.Type }),
		textField("pubsub#language", "Language (a tag such as en)", func(c *config) *string { return &c.Language }),
		listField("pubsub#contact", "jid-multi", "Whom to ask about it", func(c *config) *[]string { return &c.Contact }),
		choiceField("pubsub#access_model", "Who may subscribe and read",
			choice(accessOpen, accessPresence, accessRoster, accessAuthorize, accessWhitelist), func(c *config) *string { return &c.Access }),
		listField("pubsub#roster_groups_allowed", "text-multi", "Groups of contacts who may, where the access model is roster", func(c *config) *[]string { return &c.Groups }),
		choiceField("pubsub#publish_model", "Who may publish", choice("publishers", "subscribers", "open"), func(c *config) *string { return &c.Publish }),
		boolField("pubsub#persist_items", "Items are kept", func(c *config) *bool { return &c.Persist }),
		numberField("pubsub#max_items", "How many items are kept (a number, or max)", "max", l.Items, func(c *config) *int { return &c.MaxItems }),
		numberField("pubsub#item_expire", "After how many seconds items are deleted (a number, or max)", "max", maxExpire, func(c *config) *int { return &c.Expire }),
		numberField("pubsub#max_payload_size", "How many bytes an item may have", strconv.Itoa(l.Payload), l.Payload, func(c *config) *int { return &c.MaxPayload }),
		choiceField("pubsub#publish_node_full", "What becomes of the oldest item when there are too many", choice(fullRetract, fullDiscard, fullReject), func(c *config) *string { return &c.Full }),
		choiceField("pubsub#send_last_published_item", "When the last item is sent", r.lasts(), func(c *config) *string { return &c.SendLast }),
		boolField("pubsub#deliver_notifications", "Subscribers are notified", func(c *config) *bool { return &c.Deliver }),
		boolField("pubsub#deliver_payloads", "Notifications have the items in them", func(c *config) *bool { return &c.Payloads }),
		boolField("pubsub#notify_config", "Subscribers hear of a new configuration", func(c *config) *bool { return &c.Config }),
		boolField("pubsub#notify_delete", "Subscribers hear when the node is deleted", func(c *config) *bool { return &c.Delete }),
		boolField("pubsub#notify_retract", "Subscribers hear when items are deleted", func(c *config) *bool { return &c.Retract }),
		boolField("pubsub#notify_sub", "The owner hears of subscribers who come and go", func(c *config) *bool { return &c.Sub }),
		boolField("pubsub#subscribe", "Others may subscribe", func(c *config) *bool { return &c.Subscribe }),
		choiceField("pubsub#notification_type", "Type of notifications", choice("headline", "normal"), func(c *config) *string { return &c.Kind }),
		choiceField("pubsub#itemreply", "Items say who has published them", choice("publisher", "none"), func(c *config) *string { return &c.Reply }),
		fixedField("pubsub#node_type", "leaf"),
		fixedField("pubsub#purge_offline", "0"),
		fixedField("pubsub#tempsub", "0"),
		fixedField("pubsub#presence_based_delivery", "0"),
	}
}

// maxExpire is from how many seconds on items are kept for ever: a hundred years.
const maxExpire = 100 * 365 * 86400

func first(v []string) string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// truth reads a boolean of a form (XEP-0004 §3.3).
func truth(s string) (value, ok bool) {
	switch s {
	case "1", "true":
		return true, true
	case "0", "false":
		return false, true
	}
	return false, false
}

// form is the configuration as a form of that type and for that purpose.
func (r rules) form(c config, typ, purpose string) xmpp.Form {
	f := xmpp.Form{Type: typ, Fields: []xmpp.Field{xmpp.FormType(purpose)}}
	for _, fd := range r.fields() {
		if fd.typ == "" {
			continue
		}
		values := fd.give(&c)
		if fd.typ == "text-multi" && len(values) > 0 && typ == "form" {
			values = []string{strings.Join(values, "\n")}
		}
		out := xmpp.Field{Var: fd.name, Type: fd.typ, Label: fd.label, Values: values}
		for _, o := range fd.options {
			out.Options = append(out.Options, xmpp.Option{Value: o})
		}
		f.Fields = append(f.Fields, out)
	}
	return f
}

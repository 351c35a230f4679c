package muc

import (
	"crypto/sha1"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"parley/storage"
	"parley/xmpp"
)

// nsHats is the namespace of hats (XEP-0317).
const nsHats = "urn:xmpp:hats:0"

// A hat is what somebody may be beside role and affiliation (XEP-0317 §3.1).
type hat struct {
	uri, title string
	hue        string // an angle in degrees; "" for none
}

// Limits of what one says of a hat, in bytes.
const (
	maxHatURI   = 1024
	maxHatTitle = 256
)

// hats are those of a room, and who wears which.
type hats struct {
	all  map[string]hat
	worn map[xmpp.JID][]string // uris in their order, by bare address
}

func (h *hats) init() { h.all, h.worn = map[string]hat{}, map[xmpp.JID][]string{} }

// list returns the hats in the order of their URIs.
func (h *hats) list() []hat {
	var list []hat
	for _, uri := range slices.Sorted(maps.Keys(h.all)) {
		list = append(list, h.all[uri])
	}
	return list
}

// put puts a hat on a head, or takes it off.
func (h *hats) put(who xmpp.JID, uri string, on bool) {
	var now []string
	for _, u := range h.worn[who] {
		if u != uri {
			now = append(now, u)
		}
	}
	if on {
		now = append(now, uri)
		slices.Sort(now)
	}
	if h.worn[who] = now; len(now) == 0 {
		delete(h.worn, who)
	}
}

// wearers returns who wears a hat, in the order of the addresses.
func (h *hats) wearers(uri string) (list []xmpp.JID) {
	for who, uris := range h.worn {
		if slices.Contains(uris, uri) {
			list = append(list, who)
		}
	}
	slices.SortFunc(list, func(a, b xmpp.JID) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// count is how many hats are on heads.
func (h *hats) count() (n int) {
	for _, uris := range h.worn {
		n += len(uris)
	}
	return n
}

// shown is what stands in the presence of who wears hats (XEP-0317 §3.1); nothing for others.
func (h *hats) shown(who xmpp.JID) xmpp.Payload {
	uris := h.worn[who]
	if len(uris) == 0 {
		return nil
	}
	var b xmpp.Builder
	b.Open(nsHats, "hats")
	for _, uri := range uris {
		a := h.all[uri]
		b.Open("", "hat", "title", a.title, "uri", a.uri, "hue", a.hue).Close()
	}
	return b.Payload()
}

// hash changes when the list of hats does (XEP-0317 §2); "" where there are none.
func (h *hats) hash() string {
	if len(h.all) == 0 {
		return ""
	}
	sum := sha1.New()
	for _, a := range h.list() {
		sum.Write([]byte(a.uri + "\x00" + a.title + "\x00" + a.hue + "\x00"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// createHat makes a hat, or changes it (XEP-0317 §3.2).
func (t *turn) createHat(q request, in xmpp.Form) error {
	a := hat{uri: strings.TrimSpace(in.Value("hats#uri")), title: strings.TrimSpace(in.Value("hats#title")), hue: strings.TrimSpace(in.Value("hats#hue"))}
	was, known := t.hats.all[a.uri]
	switch {
	case a.uri == "" || len(a.uri) > maxHatURI || strings.ContainsAny(a.uri, " \t") || !strings.Contains(a.uri, ":"):
		return badPayload("a hat has a URI")
	case a.title == "" || len(a.title) > maxHatTitle:
		return badPayload("a hat has a title, which is short")
	case !isHue(a.hue):
		return badPayload("a hue is an angle from 0 to 360")
	case !known && len(t.hats.all) >= t.settings().Hats:
		t.s.stats.Refused.Add(1)
		return xmpp.Refuse("resource-constraint", "the room has too many hats")
	}
	if known && was == a {
		return nil
	}
	if err := t.write(func(tx *storage.Tx) error { return setHat(tx, t.id, a) }); err != nil {
		return err
	}
	t.hats.all[a.uri] = a
	t.rehat(q, t.hats.wearers(a.uri))
	q.after(func() { t.changed(statusConfig) })
	return nil
}

// isHue reports whether a text is an angle in degrees, or nothing.
func isHue(s string) bool {
	angle, err := strconv.ParseFloat(s, 64)
	return s == "" || err == nil && angle >= 0 && angle <= 360 && len(s) <= 32
}

// destroyHat has a hat be no more (XEP-0317 §3.3).
func (t *turn) destroyHat(q request, in xmpp.Form) error {
	uri := in.Value("hats#uri")
	if _, known := t.hats.all[uri]; !known {
		return xmpp.Refuse("item-not-found", "there is no such hat")
	}
	if err := t.write(func(tx *storage.Tx) error { return removeHat(tx, t.id, uri) }); err != nil {
		return err
	}
	heads := t.hats.wearers(uri)
	delete(t.hats.all, uri)
	for _, who := range heads {
		t.hats.put(who, uri, false)
	}
	t.rehat(q, heads)
	q.after(func() { t.changed(statusConfig) })
	return nil
}

// assignHat puts a hat on somebody's head (XEP-0317 §3.5), unassignHat takes it off (§3.6).
func (t *turn) assignHat(q request, in xmpp.Form) error   { return t.wear(q, in, true) }
func (t *turn) unassignHat(q request, in xmpp.Form) error { return t.wear(q, in, false) }

func (t *turn) wear(q request, in xmpp.Form, on bool) error {
	who, err := xmpp.ParseJID(in.Value("hats#jid"))
	if err != nil || who.Local() == "" {
		return xmpp.Refuse("jid-malformed", "")
	}
	who = who.Bare()
	uri := in.Value("hats#uri")
	_, known := t.hats.all[uri]
	has := slices.Contains(t.hats.worn[who], uri)
	switch {
	case !known:
		return xmpp.Refuse("item-not-found", "there is no such hat")
	case on == has:
		return nil
	case on && (len(t.hats.worn[who]) >= t.settings().HatsWorn || t.hats.count() >= t.settings().Affiliations):
		t.s.stats.Refused.Add(1)
		return xmpp.Refuse("resource-constraint", "too many hats are worn")
	}
	if err := t.write(func(tx *storage.Tx) error { return setWorn(tx, t.id, who, uri, on) }); err != nil {
		return err
	}
	t.hats.put(who, uri, on)
	t.rehat(q, []xmpp.JID{who})
	return nil
}

// rehat tells everybody, behind the answer, what these wear now.
func (t *turn) rehat(q request, heads []xmpp.JID) {
	for _, who := range heads {
		for _, o := range t.occupantsOf(who) {
			o.hats = t.hats.shown(who)
			q.after(func() { t.inform(o, because{}) })
		}
	}
}

// listHats tells which hats there are (XEP-0317 §3.4).
func (t *turn) listHats() xmpp.Form {
	f := xmpp.Form{Type: "result", Title: "Hats", Reported: []xmpp.Field{{Var: "hats#title"}, {Var: "hats#uri"}, {Var: "hats#hue"}}}
	for _, a := range t.hats.list() {
		f.Items = append(f.Items, []xmpp.Field{cell("hats#title", a.title), cell("hats#uri", a.uri), cell("hats#hue", a.hue)})
	}
	return f
}

// listWorn tells who wears which (XEP-0317 §3.7).
func (t *turn) listWorn() xmpp.Form {
	f := xmpp.Form{Type: "result", Title: "Hats and who wears them",
		Reported: []xmpp.Field{{Var: "hats#jid"}, {Var: "hats#uri"}, {Var: "hats#title"}, {Var: "hats#hue"}}}
	for _, a := range t.hats.list() {
		for _, who := range t.hats.wearers(a.uri) {
			f.Items = append(f.Items, []xmpp.Field{cell("hats#jid", who.String()), cell("hats#uri", a.uri), cell("hats#title", a.title), cell("hats#hue", a.hue)})
		}
	}
	return f
}

func cell(name, value string) xmpp.Field { return xmpp.Field{Var: name, Values: []string{value}} }

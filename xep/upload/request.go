package upload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// stampForm is how times are written (XEP-0082 §3.2).
const stampForm = "2006-01-02T15:04:05Z"

// Take implements router.Service.
func (s *Service) Take(rd *router.Round, st *xmpp.Stanza, settled func()) {
	switch {
	case st.Kind == xmpp.IQ && (st.Type == "get" || st.Type == "set"):
		p, err := s.answer(rd, st)
		s.router.Answer(rd, st, p, err)
	case st.Kind == xmpp.Message:
		s.router.Bounce(rd, st, xmpp.Refuse("service-unavailable", ""))
		settled()
	}
}

func (s *Service) answer(rd *router.Round, st *xmpp.Stanza) (xmpp.Payload, error) {
	host, _ := s.hostOf(st.To.Domain())
	p := st.Payload()
	switch {
	case st.To.Local() != "" || st.To.Resource() != "":
		return nil, xmpp.Refuse("item-not-found", "")
	case st.Type != "get":
	case p.Is("urn:xmpp:ping", "ping"):
		return nil, nil
	case p.Is(xmpp.NSInfo, "query") && p.Attr("node") == "":
		return s.info(host), nil
	case p.Is(nsItems, "query") && p.Attr("node") == "":
		var b xmpp.Builder
		return b.Open(nsItems, "query").Payload(), nil
	case p.Is(xmpp.NSInfo, "query"), p.Is(nsItems, "query"):
		return nil, xmpp.Refuse("item-not-found", "") // XEP-0030 §7
	case p.Is(ns, "request"):
		rd.Flush() // who waits, flushes
		return s.give(context.Background(), host, st.From, p)
	}
	return nil, xmpp.Refuse("service-unavailable", "")
}

const nsItems = "http://jabber.org/protocol/disco#items"

// info says what the service is, and how large a file may be (XEP-0363 §3).
func (s *Service) info(host string) xmpp.Payload {
	set := s.settings(host)
	var b xmpp.Builder
	b.Open(xmpp.NSInfo, "query").Open("", "identity", "category", "store", "type", "file", "name", "Files").Close()
	features := []string{xmpp.NSInfo, nsItems, "urn:xmpp:ping", ns}
	for _, p := range set.purposes() {
		features = append(features, nsPurpose+"#"+p.String()) // XEP-0363 §5
	}
	slices.Sort(features)
	for _, f := range features {
		b.Open("", "feature", "var", f).Close()
	}
	b.Raw(xmpp.Form{Type: "result", Fields: []xmpp.Field{
		xmpp.FormType(ns),
		{Var: "max-file-size", Values: []string{strconv.FormatInt(set.Size, 10)}},
	}}.Payload())
	return b.Payload()
}

// may reports whether somebody may ask a domain's service for slots.
func (s *Service) may(set Settings, from xmpp.JID) bool {
	return from.Local() != "" && s.router.Serves(from.Domain()) || slices.Contains(set.Allow, from.Domain())
}

// give answers a request for a slot (XEP-0363 §4).
func (s *Service) give(ctx context.Context, host string, from xmpp.JID, asked xmpp.Element) (xmpp.Payload, error) {
	set := s.settings(host)
	base := s.base(host)
	switch {
	case !s.may(set, from):
		return nil, xmpp.Refuse("forbidden", "only users of this server may upload files") // XEP-0363 §6
	case s.ready != nil || base == "":
		return nil, &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "files cannot be taken now"}
	}
	f, err := readRequest(set, asked, s.cfg.Now())
	if err != nil {
		return nil, s.counted(err)
	}
	f.id, f.owner, f.host = newID(), from.Bare().String(), host
	var refused *xmpp.Error
	err = s.store.Write(ctx, func(tx *storage.Tx) (err error) {
		if refused, err = s.room(tx, set, f); err != nil || refused != nil {
			return err
		}
		return addFile(tx, f)
	})
	if err == nil && refused != nil {
		err = refused
	}
	if err != nil {
		return nil, s.counted(err)
	}
	s.stats.Slots.Add(1)
	at := base + place(f.id, f.name)
	var b xmpp.Builder
	b.Open(ns, "slot").
		Open("", "put", "url", at+"?token="+s.token(f.id)).Close().
		Open("", "get", "url", at).Close()
	return b.Payload(), nil
}

// counted counts requests that a limit has refused.
func (s *Service) counted(err error) error {
	var e *xmpp.Error
	if errors.As(err, &e) && (e.Condition == "resource-constraint" || e.Condition == "not-acceptable") {
		s.stats.Refused.Add(1)
	}
	return err
}

// readRequest reads a <request/> (XEP-0363 §4, §5).
func readRequest(set Settings, e xmpp.Element, now time.Time) (f file, err error) {
	name := e.Attr("filename")
	size, wrong := strconv.ParseInt(strings.TrimSpace(e.Attr("size")), 10, 64)
	typ, ok := cleanType(strings.TrimSpace(e.Attr("content-type")))
	switch {
	case name == "":
		return f, xmpp.Refuse("bad-request", "a file has a filename")
	case wrong != nil || size < 1:
		return f, xmpp.Refuse("bad-request", "the size is a number of bytes, and at least one")
	case !ok:
		return f, xmpp.Refuse("bad-request", "the content-type is none")
	}
	p, before, err := readPurpose(set, e, now)
	if err != nil {
		return f, err
	}
	a := set.of(p)
	if size > a.size {
		return f, tooLarge(a.size)
	}
	f = file{name: cleanName(name), typ: typ, size: size, purpose: p, state: slot, created: now.Unix(), expires: now.Add(set.Slot).Unix(), before: before}
	if before != 0 {
		f.expires = min(f.expires, before)
	}
	return f, nil
}

// readPurpose reads what the file is for; before is when it is to be gone, 0 for whenever the
// service likes.
func readPurpose(set Settings, e xmpp.Element, now time.Time) (p purpose, before int64, err error) {
	var asked xmpp.Element
	n := 0
	e.Children(func(c xmpp.Element) bool {
		if c.Name().Space == nsPurpose {
			asked = c
			n++
		}
		return true
	})
	if n == 0 {
		return forMessage, 0, nil
	}
	i := slices.IndexFunc(set.purposes(), func(p purpose) bool { return p.String() == asked.Name().Local })
	switch {
	case n > 1:
		return 0, 0, xmpp.Refuse("bad-request", "a file has one purpose")
	case i < 0:
		return 0, 0, xmpp.Refuse("feature-not-implemented", "files for this purpose are not kept here")
	}
	if p = set.purposes()[i]; p != forEphemeral {
		return p, 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(asked.Attr("expire-before"))) // XEP-0363 §5.3
	switch {
	case err != nil:
		return 0, 0, xmpp.Refuse("bad-request", "an ephemeral file says when it is to be gone, as 2025-09-10T23:08:25Z")
	case at.Unix() <= now.Unix():
		return 0, 0, xmpp.Refuse("bad-request", "that time is over")
	}
	return p, at.Unix(), nil
}

// tooLarge says how large a file may be (XEP-0363 §6).
func tooLarge(most int64) *xmpp.Error {
	e := xmpp.Refuse("not-acceptable", fmt.Sprintf("File too large. The maximum file size is %d bytes", most))
	var b xmpp.Builder
	e.App = b.Open(ns, "file-too-large").Leaf("", "max-file-size", strconv.FormatInt(most, 10)).Payload()
	return e
}

// over says that a user has reached a limit, and when there will be room; at 0 is nobody knows
// (XEP-0363 §6).
func over(at int64, format string, args ...any) *xmpp.Error {
	e := xmpp.Refuse("resource-constraint", fmt.Sprintf(format, args...))
	if at > 0 {
		var b xmpp.Builder
		e.App = b.Open(ns, "retry", "stamp", time.Unix(at, 0).UTC().Format(stampForm)).Payload()
	}
	return e
}

// room refuses a file that its owner has no room for.
func (s *Service) room(tx *storage.Tx, set Settings, f file) (*xmpp.Error, error) {
	const dayLong = int64(day / time.Second)
	since := f.created - dayLong
	u, err := usageOf(tx, f.owner, f.purpose.bucket(), since)
	if err != nil {
		return nil, err
	}
	kept := set.of(f.purpose).kept
	switch {
	case u.slots >= maxSlots:
		at, err := firstSlot(tx, f.owner)
		return over(at+1, "You have asked for %d slots and not used them", u.slots), err
	case u.files >= set.Files:
		return over(0, "You have too many files"), nil
	case kept >= 0 && u.kept+f.size > kept:
		return over(0, "Quota reached. You can keep %d bytes of files; remove some", kept), nil
	case set.Daily >= 0 && f.size > set.Daily:
		return over(0, "Quota reached. You can send %d bytes of files in a day", set.Daily), nil
	case set.Daily >= 0 && u.today+f.size > set.Daily:
		at, err := roomAt(tx, f.owner, since, u.today+f.size-set.Daily)
		return over(at+dayLong+1, "Quota reached. You can send %d bytes of files in a day", set.Daily), err
	}
	return nil, nil
}

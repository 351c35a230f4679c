// Package extdisco tells clients of services beside XMPP, as those that calls need to find a way
// through (STUN) or around (TURN) firewalls, and makes the passwords for them (XEP-0215).
package extdisco

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/router"
	"parley/xmpp"
)

const ns = "urn:xmpp:extdisco:2"

// DefaultLifetime is how long a password that is made for somebody is good.
const DefaultLifetime = 12 * time.Hour

// A Service is one that clients are told of (XEP-0215 §2).
type Service struct {
	Name      string // for people; may be ""
	Type      string // stun, stuns, turn, turns or another of the registry
	Host      string
	Port      int    // 0: nobody says
	Transport string // udp or tcp; "": nobody says

	// Secret is shared with the service. From it each user gets a name and a password that are
	// good for Lifetime (as the REST API for access to TURN services has it).
	Secret   string
	Lifetime time.Duration // 0: DefaultLifetime

	// Username and Password are for all, where there is no Secret.
	Username, Password string
}

// restricted reports whether who uses the service needs a password.
func (s *Service) restricted() bool { return s.Secret != "" || s.Username != "" || s.Password != "" }

// Config is what the feature is made of.
type Config struct {
	Services func(host string) []Service // for users of a domain; asked each time
	Now      func() time.Time            // nil: time.Now
}

// A directory is the services that a server tells of.
type directory struct {
	cfg    Config
	router *router.Router
}

// New returns the feature. It is announced where there are services (XEP-0215 §5). Changes are not
// pushed: who asks again hears of them, and passwords end by themselves.
func New(cfg Config) router.Feature {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &directory{cfg: cfg}
	return router.Feature{
		Name: "external services",
		XEPs: []router.XEP{{Number: 215, Version: "1.0.0", Note: "once services are configured"}},
		Nest: d.announce,
		IQ: []router.IQ{
			router.Get(router.ToServer, ns, "services", d.services),
			router.Get(router.ToServer, ns, "credentials", d.credentials),
		},
		Start: func(h router.Hall) { d.router = h.Router },
	}
}

func (d *directory) announce(host string, bare bool, about *router.NodeInfo) {
	if !bare && len(d.cfg.Services(host)) > 0 {
		about.Features = append(about.Features, ns)
	}
}

// may refuses who is no user of this server (XEP-0215 §2): passwords are for nobody else.
func (d *directory) may(q *router.Request) ([]Service, error) {
	list := d.cfg.Services(q.Host)
	switch {
	case len(list) == 0:
		return nil, xmpp.Refuse("service-unavailable", "")
	case q.From().Local() == "" || !d.router.Serves(q.From().Domain()):
		return nil, xmpp.Refuse("forbidden", "only users of this server may use its services")
	}
	return list, nil
}

// services answers with all services, or those of a type (XEP-0215 §3.1, §3.2).
func (d *directory) services(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	list, err := d.may(q)
	if err != nil {
		return nil, err
	}
	typ := q.Payload.Attr("type")
	list = ofType(list, typ)
	var b xmpp.Builder
	b.Open(ns, "services", "type", typ)
	for i := range list {
		d.describe(&b, &list[i], q.From())
	}
	return b.Payload(), nil
}

func ofType(list []Service, typ string) (some []Service) {
	for _, s := range list {
		if typ == "" || s.Type == typ {
			some = append(some, s)
		}
	}
	return some
}

// credentials answers with the passwords of one service, or of several with the same host and
// type (XEP-0215 §3.3).
func (d *directory) credentials(_ context.Context, q *router.Request) (xmpp.Payload, error) {
	list, err := d.may(q)
	if err != nil {
		return nil, err
	}
	want := q.Payload.Child(ns, "service")
	host, typ, port := want.Attr("host"), want.Attr("type"), want.Attr("port")
	if host == "" || typ == "" {
		return nil, xmpp.Refuse("bad-request", "a service has a host and a type")
	}
	var b xmpp.Builder
	b.Open(ns, "credentials")
	n := 0
	for i := range list {
		s := &list[i]
		if strings.EqualFold(s.Host, host) && s.Type == typ && (port == "" || port == strconv.Itoa(s.Port)) && s.restricted() {
			d.describe(&b, s, q.From())
			n++
		}
	}
	if n == 0 {
		return nil, xmpp.Refuse("item-not-found", "")
	}
	return b.Payload(), nil
}

// describe writes a service with what somebody needs for it.
func (d *directory) describe(b *xmpp.Builder, s *Service, whose xmpp.JID) {
	port, restricted, expires := "", "", ""
	if s.Port != 0 {
		port = strconv.Itoa(s.Port)
	}
	user, password := s.Username, s.Password
	if s.Secret != "" {
		var until time.Time
		user, password, until = s.credentials(whose, d.cfg.Now())
		expires = until.UTC().Format(stampForm)
	}
	if s.restricted() {
		restricted = "true"
	}
	b.Open("", "service", "expires", expires, "host", s.Host, "name", xmpp.Clean(s.Name), "password", xmpp.Clean(password), "port", port,
		"restricted", restricted, "transport", s.Transport, "type", s.Type, "username", xmpp.Clean(user)).Close()
}

// stampForm is how times are written (XEP-0082 §3.2).
const stampForm = "2006-01-02T15:04:05Z"

// step is in which steps the end of a password moves, so that somebody who asks often is not
// given a new one each time.
const step = 5 * time.Minute

// credentials makes a name and a password that the service can check without asking: the name
// says until when, and for whom by a word that only this server can tell the user from; the
// password is a hash of the name under the secret.
func (s *Service) credentials(whose xmpp.JID, now time.Time) (user, password string, until time.Time) {
	life := s.Lifetime
	if life <= 0 {
		life = DefaultLifetime
	}
	until = now.Add(life).Truncate(step).Add(step)
	user = fmt.Sprintf("%d:%s", until.Unix(), pseudonym(s.Secret, whose.Bare().String()))
	return user, sign(s.Secret, user), until
}

// sign is the password of a name.
func sign(secret, user string) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// pseudonym lets the service count by users without knowing them.
func pseudonym(secret, bare string) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte("user\x00" + bare))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:9])
}

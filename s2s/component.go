package s2s

import (
	"crypto/sha1"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/router"
	"parley/storage"
	"parley/xmpp"
)

// A component is one that the configuration names, connected or not. It implements
// router.Way.
type component struct {
	c    *Components
	jid  xmpp.JID
	rule atomic.Pointer[ComponentRule]
	link atomic.Pointer[componentLink] // nil while it is not connected

	in, out atomic.Int64 // stanzas

	mu   sync.Mutex // a leaf
	gone time.Time  // since when it is not connected, having been; zero: it is, or its users know
	told bool       // its users have been told that it is not there
}

// parted notes that the component's stream is over.
func (k *component) parted(l *componentLink) {
	if k.link.CompareAndSwap(l, nil) {
		k.mu.Lock()
		k.gone = time.Now()
		k.mu.Unlock()
	}
}

// missed has users hear that those for whom the component speaks are absent, when it has not
// come back for a while.
func (k *component) missed(now time.Time) {
	k.mu.Lock()
	tell := !k.gone.IsZero() && now.Sub(k.gone) > k.c.settings.Load().Absent && k.link.Load() == nil
	if tell {
		k.gone, k.told = time.Time{}, true
	}
	k.mu.Unlock()
	if tell {
		k.distant(false)
	}
}

// back has users ask again for those for whom the component speaks, if they have heard that
// these are absent.
func (k *component) back() {
	k.mu.Lock()
	told := k.told
	k.gone, k.told = time.Time{}, false
	k.mu.Unlock()
	if told {
		k.distant(true)
	}
}

func (k *component) distant(reached bool) {
	for _, host := range k.c.cfg.Router.Hosts() {
		k.c.cfg.Router.Distant(host, k.jid.Domain(), reached)
	}
}

// Keep implements router.Way: nothing is written. A component is a part of this house; one
// that is down is repaired, and a message that waited for it would be an old one.
func (k *component) Keep(*xmpp.Stanza) router.Keeping { return nil }

// Prompt implements router.Way.
func (k *component) Prompt() bool { return false }

// Gone implements router.Way.
func (k *component) Gone(storage.ID) {}

// Carry implements router.Way.
func (k *component) Carry(rd *router.Round, st *xmpp.Stanza, _ storage.ID) *xmpp.Error {
	l := k.link.Load()
	if l == nil {
		return k.absent(st)
	}
	switch err := l.push(st); err {
	case nil:
		k.out.Add(1)
		rd.Touch(l)
		return nil
	case errOver:
		return k.absent(st)
	default:
		return err
	}
}

// absent answers for a component that is not connected: with remote-server-timeout, which says
// that trying again later is worth it (RFC 6120 §8.3.3.16). Another word would be wrong:
// service-unavailable is what a client that is in a room takes for a sign that it still is
// (XEP-0410 §3.2). What nobody would hear is not repeated: there is no error for it.
func (k *component) absent(st *xmpp.Stanza) *xmpp.Error {
	if st.Kind == xmpp.Presence && (st.Type == "unavailable" || st.Type == "probe") {
		return nil
	}
	return xmpp.Refuse("remote-server-timeout", "the service "+k.jid.Domain()+" is not connected at present")
}

// speaks reports whether a stanza of the component may be from a domain (XEP-0114 §3).
func (k *component) speaks(domain string) bool {
	own := k.jid.Domain()
	return domain == own || k.rule.Load().Wildcard && strings.HasSuffix(domain, "."+own) && k.c.table.Load().find(domain) == k
}

// proves reports whether a handshake is that of the component (XEP-0114 §3). It takes the same
// time for whatever is wrong.
func (k *component) proves(id, handshake string) bool {
	sum := sha1.Sum([]byte(id + k.rule.Load().Secret))
	want := hex.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(strings.TrimSpace(handshake)))) == 1
}

// end ends the component's stream, if there is one.
func (k *component) end(err *xmpp.StreamError) {
	if l := k.link.Load(); l != nil {
		l.log().Info("a component's stream is ended", "condition", err.Condition)
		l.end(err)
	}
}

func (k *component) info() ComponentInfo {
	i := ComponentInfo{Domain: k.jid.Domain(), Wildcard: k.rule.Load().Wildcard, In: k.in.Load(), Out: k.out.Load()}
	l := k.link.Load()
	if l == nil {
		return i
	}
	i.Connected, i.Since, i.Address = true, l.began, l.addr.String()
	if state := l.t.TLS(); state != nil {
		i.TLS = tls.VersionName(state.Version)
	}
	backlog, _ := l.t.Backlog()
	l.mu.Lock()
	i.Waiting = len(l.buf) + backlog
	l.mu.Unlock()
	return i
}

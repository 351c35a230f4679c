package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/idna"
)

// RenewBefore is how long before its end a certificate of our own making is replaced,
// and one from elsewhere is complained about.
const RenewBefore = 30 * 24 * time.Hour

// CertConfig says where certificates come from.
type CertConfig struct {
	// Dir is where certificates that we make ourselves are kept, one file a domain,
	// mode 0600. It is made with mode 0700.
	Dir string
	// Hosts are our domains. The first one's certificate is for peers that ask for no
	// domain or for one that we do not know.
	Hosts []HostCert
	Log   *slog.Logger     // default: silent
	Now   func() time.Time // default: time.Now
}

// HostCert is the certificate of one domain.
type HostCert struct {
	Host string
	// Names are the addresses of services below the domain. Default: conference, upload,
	// pubsub and proxy. A certificate of our making has them all.
	Names []string
	// CertFile is a PEM file with the certificate and what leads to its authority, KeyFile
	// one with its key (default: the same file). Without a CertFile we make one ourselves.
	CertFile, KeyFile string
	// Spare says that a certificate of our own making is for this domain only where none of
	// the other domains' is.
	Spare bool
}

// Certs holds the certificates of our domains, and replaces them while they are in use.
// Its methods may be called from many goroutines at once.
type Certs struct {
	cfg    CertConfig
	reload sync.Mutex
	table  atomic.Pointer[certTable]
}

// certTable finds a certificate by name. It never changes.
type certTable struct {
	byName    map[string]*hostCert // configured domains, then names in certificates
	wildcards map[string]*hostCert // by what follows "*."
	all       []*hostCert
}

// hostCert is a certificate in use.
type hostCert struct {
	cert     tls.Certificate // with Leaf
	endPoint []byte
	info     CertInfo
}

// OpenCerts reads, or makes, the certificates of all domains. The error says in plain
// words which file is wrong and how.
func OpenCerts(cfg CertConfig) (*Certs, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Certs{cfg: cfg}
	return c, c.Reload()
}

// Reload reads all files again and makes new what is about to expire. If anything is
// wrong, all certificates stay as they are. Connections keep what they have.
func (c *Certs) Reload() error {
	c.reload.Lock()
	defer c.reload.Unlock()
	return c.readAll(c.cfg.Hosts)
}

// Replace is Reload for a list of domains, or of files, that has changed.
func (c *Certs) Replace(hosts []HostCert) error {
	c.reload.Lock()
	defer c.reload.Unlock()
	if err := c.readAll(hosts); err != nil {
		return err
	}
	c.cfg.Hosts = hosts
	return nil
}

// readAll makes the table of what the files hold now. The caller holds the lock.
func (c *Certs) readAll(hosts []HostCert) error {
	if len(hosts) == 0 {
		return errors.New("auth: no domain is configured")
	}
	table := &certTable{byName: map[string]*hostCert{}, wildcards: map[string]*hostCert{}}
	var problems []error
	var used []HostCert
	take := func(h HostCert) {
		hc, err := c.load(h)
		if err != nil {
			problems = append(problems, fmt.Errorf("certificate of %s: %w", h.Host, err))
			return
		}
		table.all, used = append(table.all, hc), append(used, h)
	}
	for _, h := range hosts {
		if !h.Spare || h.CertFile != "" {
			take(h)
		}
	}
	for _, h := range hosts {
		if h.Spare && h.CertFile == "" && !table.covers(h) {
			take(h)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	table.index(used)
	c.table.Store(table)
	for _, hc := range table.all {
		for _, p := range hc.info.Problems {
			c.cfg.Log.Warn("certificate: "+p, "host", hc.info.Host, "file", hc.info.File)
		}
	}
	return nil
}

// index enters the configured domains first: what a certificate says of itself must not
// take another domain's place.
func (t *certTable) index(hosts []HostCert) {
	for i, h := range hosts {
		enter(t.byName, asciiHost(h.Host), t.all[i])
	}
	for i, h := range hosts {
		for _, n := range h.names() {
			enter(t.byName, asciiHost(n), t.all[i])
		}
	}
	for _, hc := range t.all {
		for _, n := range hc.cert.Leaf.DNSNames {
			if parent, ok := strings.CutPrefix(n, "*."); ok {
				enter(t.wildcards, strings.ToLower(parent), hc)
			} else {
				enter(t.byName, strings.ToLower(n), hc)
			}
		}
	}
}

// covers reports whether the certificates that were read are for a domain and for all of its
// names, by what they say themselves.
func (t *certTable) covers(h HostCert) bool {
	for _, name := range append([]string{h.Host}, h.names()...) {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "*.") {
			name = asciiHost(name)
		}
		_, parent, _ := strings.Cut(name, ".")
		if !slices.ContainsFunc(t.all, func(hc *hostCert) bool {
			return slices.ContainsFunc(hc.cert.Leaf.DNSNames, func(n string) bool {
				return strings.EqualFold(n, name) || strings.EqualFold(n, "*."+parent)
			})
		}) {
			return false
		}
	}
	return true
}

func enter(m map[string]*hostCert, name string, hc *hostCert) {
	if m[name] == nil {
		m[name] = hc
	}
}

func (h HostCert) names() []string {
	if h.Names != nil {
		return h.Names
	}
	if _, ok := hostAddr(h.Host); ok {
		return nil
	}
	var list []string
	for _, service := range []string{"conference", "upload", "pubsub", "proxy"} {
		list = append(list, service+"."+h.Host)
	}
	return list
}

// pick chooses by the name a client asks for (RFC 7590 §3.5), then by the domain the
// door is for, then the first. A wildcard stands for one label (RFC 6125 §6.4.3).
func (t *certTable) pick(asked, host string) *hostCert {
	for _, name := range []string{strings.ToLower(strings.TrimSuffix(asked, ".")), host} {
		if name == "" {
			continue
		}
		if hc := t.byName[name]; hc != nil {
			return hc
		}
		if _, parent, ok := strings.Cut(name, "."); ok && t.wildcards[parent] != nil {
			return t.wildcards[parent]
		}
	}
	return t.all[0]
}

// Certificate returns the certificate of one of our domains, for connections that we open.
func (c *Certs) Certificate(host string) *tls.Certificate {
	return &c.table.Load().pick("", asciiHost(host)).cert
}

// Info describes the certificates in use, in the order of CertConfig.Hosts.
func (c *Certs) Info() []CertInfo {
	t := c.table.Load()
	list := make([]CertInfo, len(t.all))
	for i, hc := range t.all {
		list[i] = hc.info
	}
	return list
}

// asciiHost is a domain as TLS and certificates write it: A-labels, lower case.
func asciiHost(host string) string {
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		return a
	}
	return strings.ToLower(host)
}

// hostAddr returns the IP address that a domainpart may be (RFC 7622 §3.2).
func hostAddr(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return a, err == nil
}

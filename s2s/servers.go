package s2s

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	resolvConf      = "/etc/resolv.conf"
	resolvConfCheck = 5 * time.Second // how often we look whether it has changed
	maxResolvConf   = 64 << 10
	maxServers      = 8
)

// A resolvFile is the system's list of resolvers, read again when it changes.
type resolvFile struct {
	path string

	mu      sync.Mutex
	looked  time.Time
	info    fs.FileInfo
	servers []netip.AddrPort
	err     error
}

// servers returns whom to ask: the configured resolvers, or the system's.
func (r *Resolver) servers() ([]netip.AddrPort, error) {
	if len(r.configured) > 0 {
		return r.configured, nil
	}
	return r.file.read(r.cfg.Now())
}

// trusts says whether a resolver's word is taken that DNSSEC has authenticated an answer:
// where it runs on this machine, or where the operator says so (RFC 6698 §4.1, §8.3).
// Containers find a forwarder at 127.0.0.11 that passes on what somebody else has said.
func (r *Resolver) trusts(server netip.AddrPort) bool {
	forwarder := netip.AddrFrom4([4]byte{127, 0, 0, 11})
	return r.cfg.TrustAD || server.Addr().Unmap().IsLoopback() && server.Addr().Unmap() != forwarder
}

// authenticates reports whether any answer can be authenticated at all.
func (r *Resolver) authenticates() bool {
	servers, err := r.servers()
	if err != nil {
		return false
	}
	for _, s := range servers {
		if r.trusts(s) {
			return true
		}
	}
	return false
}

func (f *resolvFile) read(now time.Time) ([]netip.AddrPort, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.looked); f.looked.IsZero() || since < 0 || since >= resolvConfCheck {
		f.looked = now
		f.look()
	}
	return f.servers, f.err
}

// look reads the file if it is another than last time. If it cannot be read just now, what it
// said before is used on.
func (f *resolvFile) look() {
	info, err := os.Stat(f.path)
	if err == nil && f.info != nil && os.SameFile(info, f.info) &&
		info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		return
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(f.path)
	}
	if err != nil {
		if len(f.servers) == 0 {
			f.err = err
		}
		return
	}
	f.info, f.err = info, nil
	f.servers = nameservers(text)
	if len(f.servers) == 0 {
		f.err = fmt.Errorf("%s names no resolver", f.path)
	}
}

// nameservers reads the resolvers of a resolv.conf(5).
func nameservers(text []byte) (list []netip.AddrPort) {
	text = text[:min(len(text), maxResolvConf)]
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan() && len(list) < maxServers; {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a, 53))
		}
	}
	return list
}

// parseServers reads resolvers of a configuration: an address, with or without a port.
func parseServers(list []string) (servers []netip.AddrPort, err error) {
	if len(list) > maxServers {
		return nil, fmt.Errorf("more than %d resolvers", maxServers)
	}
	for _, s := range list {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			a, err := netip.ParseAddr(strings.Trim(s, "[]"))
			if err != nil {
				return nil, fmt.Errorf("%q is no address of a resolver, such as 127.0.0.1:53", s)
			}
			ap = netip.AddrPortFrom(a, 53)
		}
		if ap.Port() == 0 {
			return nil, errors.New("a resolver with port 0")
		}
		servers = append(servers, ap)
	}
	return servers, nil
}

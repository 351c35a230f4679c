package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"parley/xep/bytestreams"
)

// FileProxyConfig is about files that one client sends to another.
type FileProxyConfig struct {
	Prefix  string   `toml:"prefix" doc:"What stands before a domain in the domain of its proxy: proxy for proxy.example.org. Empty: there is none."`
	Listen  []string `toml:"listen" doc:"Addresses that clients connect to (SOCKS5, without TLS: what they carry is theirs to protect). One that ends with a question mark is tried, and left alone where another program has it. Empty list: none, and no proxy is announced."`
	Host    string   `toml:"host" reload:"true" doc:"Where clients reach these addresses: a name or an address. By default the domain itself."`
	Port    int      `toml:"port" reload:"true" doc:"And at which port, where that is another one than that of the first address. 0: it is not."`
	Streams int      `toml:"max_streams" reload:"true" doc:"How many files may be on their way at a time."`
	PerUser int      `toml:"max_streams_per_user" reload:"true" doc:"How many of these may be one user's."`
	Rate    int      `toml:"rate" reload:"true" doc:"How many bytes a second the files of one user may have together. 0: any number."`
	Idle    Duration `toml:"idle" reload:"true" doc:"How long nothing may come before a stream is ended."`
}

func defaultFileProxy() FileProxyConfig {
	s := bytestreams.DefaultSettings()
	return FileProxyConfig{Prefix: "proxy", Listen: []string{":7777?"}, Streams: s.Streams, PerUser: s.PerUser, Rate: s.Rate, Idle: Duration{s.Idle}}
}

// fileProxy returns the limits of the proxy.
func (l *live) fileProxy() bytestreams.Settings {
	c := l.proxied.Load()
	s := bytestreams.Settings{Streams: c.Streams, PerUser: c.PerUser, Rate: c.Rate, Idle: c.Idle.Duration}
	if s.Rate == 0 {
		s.Rate = -1
	}
	return s
}

// proxyAddress returns where clients of a domain reach the proxy; port 0 is nowhere.
func (l *live) proxyAddress(domain string) (host string, port int) {
	c, listens := l.proxied.Load(), int(l.proxyPort.Load())
	if host = c.Host; host == "" {
		host = domain
	}
	if listens != 0 && c.Port != 0 {
		return host, c.Port
	}
	return host, listens
}

// openFileProxy opens the doors of the proxy.
func (s *server) openFileProxy() error {
	if s.cfg.FileProxy.Prefix == "" {
		return nil
	}
	for _, a := range s.cfg.FileProxy.Listen {
		a, maybe := strings.CutSuffix(a, "?")
		l, err := listen("file_proxy.listen", a)
		if err != nil && maybe {
			s.log.Info("an address is left alone", "address", a, "reason", err)
			continue
		}
		if err != nil {
			return err
		}
		s.doors = append(s.doors, l)
		s.live.proxyPort.CompareAndSwap(0, int64(l.Addr().(*net.TCPAddr).Port))
		s.where = append(s.where, fmt.Sprintf("files between clients on %s", l.Addr()))
		go func() {
			if err := s.proxy.Serve(l); err != nil {
				s.errors <- err
			}
		}()
	}
	return nil
}

// closeFileProxy closes them, with what is under way.
func (s *server) closeFileProxy(ctx context.Context) error {
	var errs []error
	for _, l := range s.doors {
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs, s.proxy.Shutdown(ctx))...)
}

// checkFileProxy finds what could not be.
func checkFileProxy(cfg *Config) *badKey {
	c := &cfg.FileProxy
	for i, a := range c.Listen {
		bare, maybe := strings.CutSuffix(a, "?")
		if _, err := strconv.Atoi(bare); err == nil { // a bare port
			bare = ":" + bare
		}
		_, port, err := net.SplitHostPort(bare)
		if n, badPort := strconv.Atoi(port); err != nil || badPort != nil || n < 0 || n > 65535 {
			return bad("file_proxy.listen", "%q is no address; write it as 127.0.0.1:7777, [::1]:7777 or :7777", a)
		}
		if c.Listen[i] = bare; maybe {
			c.Listen[i] = bare + "?"
		}
	}
	for _, n := range []struct {
		key              string
		value, least, to int
	}{{"port", c.Port, 0, 65535}, {"max_streams", c.Streams, 1, 1 << 20}, {"max_streams_per_user", c.PerUser, 1, 1 << 20}, {"rate", c.Rate, 0, 1 << 40}} {
		if n.value < n.least || n.value > n.to {
			return bad("file_proxy."+n.key, "%d is not between %d and %d", n.value, n.least, n.to)
		}
	}
	if c.Host != "" {
		_, isDomain := domainOf(c.Host)
		if _, err := netip.ParseAddr(c.Host); err != nil && !isDomain {
			return bad("file_proxy.host", "%q is neither a name nor an address", c.Host)
		}
	}
	if c.Idle.Duration < time.Second {
		return bad("file_proxy.idle", "%s is less than a second", c.Idle.Duration)
	}
	return checkPrefix(cfg, "file_proxy.prefix", &c.Prefix, cfg.Rooms.Prefix, cfg.Pubsub.Prefix, cfg.Upload.Prefix)
}

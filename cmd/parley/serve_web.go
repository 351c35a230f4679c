package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"parley/auth"
	"parley/router"
	"parley/web"
)

// openWeb opens the doors for browsers and other programs that speak HTTP.
func (s *server) openWeb() error {
	c := s.cfg.HTTP
	if len(c.Listen)+len(c.ListenTLS) == 0 {
		return nil
	}
	certs := s.certs.Server(auth.TLSOptions{})
	s.site = web.NewServer(web.Config{Pages: s.pages(certs), TLS: certs.Config(), Settings: webSettings(s.cfg), Log: s.log})
	for _, door := range []struct {
		addresses []string
		secure    bool
		scheme    string
		setting   string
	}{{c.ListenTLS, true, "https", "http.listen_tls"}, {c.Listen, false, "http", "http.listen"}} {
		for _, a := range door.addresses {
			a, maybe := strings.CutSuffix(a, "?")
			l, err := listen(door.setting, a)
			if err != nil && maybe {
				s.log.Info("an address is left alone", "address", a, "reason", err)
				continue
			}
			if err != nil {
				return err
			}
			s.where = append(s.where, fmt.Sprintf("web on %s://%s", door.scheme, l.Addr()))
			s.learnPort(door.secure && !maybe, l)
			go func() {
				if err := s.site.Serve(l, door.secure); err != nil && !errors.Is(err, http.ErrServerClosed) {
					s.errors <- err
				}
			}()
		}
	}
	return nil
}

// learnPort notes the port of the first address with TLS, which may have been left to the
// system.
func (s *server) learnPort(secure bool, l net.Listener) {
	if _, port, err := net.SplitHostPort(l.Addr().String()); secure && err == nil {
		s.live.webPort.CompareAndSwap(nil, &port)
	}
}

// pages is everything that the web listeners serve.
func (s *server) pages(certs *auth.TLS) []router.HTTP {
	var list []router.HTTP
	for _, f := range s.features {
		list = append(list, f.HTTP...)
	}
	if s.cfg.HTTP.WebSocket {
		list = append(list, s.c2s.WebSocket(func(r *http.Request) auth.Channel { return certs.Channel(*r.TLS) }))
	}
	if s.cfg.HTTP.BOSH {
		list = append(list, s.c2s.BOSH())
	}
	return list
}

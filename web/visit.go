package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"parley/router"
)

// mux puts pages under their patterns.
func mux(pages []router.HTTP) http.Handler {
	m := http.NewServeMux()
	shared := map[string][]router.HTTP{} // paths that pages of other origins may use
	for _, p := range pages {
		h := p.Handler
		if len(p.Cross) > 0 {
			_, path, found := strings.Cut(p.Pattern, " ")
			if !found {
				path = p.Pattern
			}
			shared[path] = append(shared[path], p)
			h = crossed(p, h)
		}
		m.Handle(p.Pattern, h)
	}
	for path, list := range shared {
		m.Handle("OPTIONS "+path, preflight(list))
	}
	return m
}

// crossed lets pages of any origin see the answer (Fetch Standard, CORS protocol). Nothing
// here looks at cookies, so that such a page learns no more than any program would.
func crossed(p router.HTTP, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(p.Cross, r.Method) {
			share(w.Header())
		}
		h.ServeHTTP(w, r)
	})
}

func share(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, Content-Disposition")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// preflight answers what a browser asks before it lets a page of another origin do what forms
// could not.
func preflight(list []router.HTTP) http.Handler {
	methods, headers := []string{"OPTIONS"}, []string{"Content-Type"}
	for _, p := range list {
		methods, headers = append(methods, p.Cross...), append(headers, p.Send...)
	}
	slices.Sort(headers)
	allow := strings.Join(methods, ", ")
	send := strings.Join(slices.Compact(headers), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		share(h)
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", send)
		h.Set("Access-Control-Max-Age", "7200")
		h.Set("Allow", allow)
		w.WriteHeader(http.StatusNoContent)
	})
}

// visited is around everything: it finds out who asks, sets the headers that keep browsers from
// guessing, counts, and has a panic end one request.
func (s *Server) visited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.visitor(r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		rc := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			rc.SetWriteDeadline(time.Time{}) // that of the request before
		}
		if r.Body != nil && r.Body != http.NoBody {
			rc.SetReadDeadline(time.Now().Add(s.body))
		}
		told := &teller{ResponseWriter: w, rc: rc, within: s.write}
		defer func() { s.stats.Requests[told.status/100%len(s.stats.Requests)].Add(1) }()
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p != http.ErrAbortHandler {
				s.log.Error("an HTTP request's handling panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			if p == http.ErrAbortHandler || told.status != 0 {
				panic(http.ErrAbortHandler) // the answer is not whole
			}
			http.Error(told, "internal server error", http.StatusInternalServerError)
		}()
		defer told.patience() // for what is in buffers
		next.ServeHTTP(told, r.WithContext(router.WithVisitor(r.Context(), v)))
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "http request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Int("status", told.status), slog.String("addr", v.Addr.String()))
	})
}

// A teller remembers the status of the answer, and waits only so long for a client that does not
// read it.
type teller struct {
	http.ResponseWriter
	rc     *http.ResponseController
	within time.Duration
	status int
}

func (t *teller) patience() { t.rc.SetWriteDeadline(time.Now().Add(t.within)) }

// WriteHeader implements http.ResponseWriter.
func (t *teller) WriteHeader(status int) {
	if t.status == 0 && status >= 200 || status == http.StatusSwitchingProtocols {
		t.status = status
	}
	t.patience()
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *teller) Write(p []byte) (n int, err error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	for len(p) > writeAtOnce && err == nil {
		t.patience()
		var m int
		m, err = t.ResponseWriter.Write(p[:writeAtOnce])
		n, p = n+m, p[m:]
	}
	if err != nil {
		return n, err
	}
	t.patience()
	m, err := t.ResponseWriter.Write(p)
	return n + m, err
}

// Unwrap is for http.ResponseController.
func (t *teller) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// visitor finds out who asks. Only what trusted proxies say is believed: of several in a row
// the last untrusted address is the client's (RFC 7239 §8.1). What stands behind a PROXY header
// for an untrusted address, or for none, was written by that client, or might have been: it
// counts for nothing.
func (s *Server) visitor(r *http.Request) router.Visitor {
	set := s.settings.Load()
	v := router.Visitor{Addr: addrOf(r.RemoteAddr), Secure: r.TLS != nil}
	if c, _ := r.Context().Value(connKey{}).(*conn); c != nil {
		v.Addr = c.client // r has it from before the PROXY header was read
		v.Secure, v.Proxy = v.Secure || c.secure, c.secure
		if c.own {
			return v
		}
	}
	if !trusted(set, v.Addr) {
		return v
	}
	addr, secure, said := believed(set, r.Header)
	if !said {
		return v
	}
	v.Proxy = true
	if secure != nil {
		v.Secure = *secure
	}
	if addr.IsValid() {
		v.Addr = addr
	}
	return v
}

// believed returns what proxies say of a request. Both kinds of headers are looked at: most proxies
// write one of them and pass on what a client has written into the other. Where they name different
// addresses nobody knows which is true: then neither is, and nothing counts as secure. secure is
// nil where nothing is said of that.
func believed(set *Settings, h http.Header) (addr netip.Addr, secure *bool, said bool) {
	for _, hops := range [][]hop{forwardedHops(h), olderHops(h)} {
		if len(hops) == 0 {
			continue
		}
		a, proto := walk(set, hops)
		if addr.IsValid() && a.IsValid() && a != addr {
			return netip.Addr{}, new(bool), true
		}
		if said = true; a.IsValid() {
			addr = a
		}
		if proto != "" {
			is := (proto == "https" || proto == "wss") && (secure == nil || *secure)
			secure = &is
		}
	}
	return addr, secure, said
}

// walk goes back from the last proxy to the first address that is not trusted.
func walk(set *Settings, hops []hop) (addr netip.Addr, proto string) {
	for i := len(hops) - 1; i >= 0; i-- {
		if hops[i].proto != "" {
			proto = hops[i].proto
		}
		if !hops[i].addr.IsValid() {
			break
		}
		if addr = hops[i].addr; !trusted(set, addr) {
			break
		}
	}
	return addr, proto
}

// A hop is what one proxy says of the request that it has got.
type hop struct {
	addr  netip.Addr // zero: it does not say
	proto string
}

// forwardedHops reads Forwarded (RFC 7239 §4).
func forwardedHops(h http.Header) (hops []hop) {
	if list := h.Values("Forwarded"); len(list) > 0 {
		for _, element := range split(strings.Join(list, ","), ',') {
			hops = append(hops, forwarded(element))
		}
	}
	return hops
}

// olderHops reads X-Forwarded-For and X-Forwarded-Proto, which are more common.
func olderHops(h http.Header) (hops []hop) {
	protos := split(strings.Join(h.Values("X-Forwarded-Proto"), ","), ',')
	for _, a := range split(strings.Join(h.Values("X-Forwarded-For"), ","), ',') {
		hops = append(hops, hop{addr: addrOf(strings.TrimSpace(a))})
	}
	if len(hops) == 0 && len(protos) > 0 {
		hops = []hop{{}}
	}
	for i := range hops { // one for each, or one for all
		if n := len(protos); n > 0 {
			hops[i].proto = strings.ToLower(strings.TrimSpace(protos[max(0, n-len(hops)+i)]))
		}
	}
	return hops
}

// forwarded reads one element of Forwarded.
func forwarded(element string) (h hop) {
	for _, pair := range split(element, ';') {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		value = unquote(value)
		switch strings.ToLower(name) {
		case "for":
			h.addr = addrOf(value)
		case "proto":
			h.proto = strings.ToLower(value)
		}
	}
	return h
}

// split cuts at a separator outside of quoted strings (RFC 7239 §4).
func split(s string, at byte) []string {
	var parts []string
	from, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == at && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	if strings.TrimSpace(s[from:]) != "" || len(parts) > 0 {
		parts = append(parts, s[from:])
	}
	return parts
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// addrOf reads an address with or without a port; IPv6 ones may be in brackets.
func addrOf(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

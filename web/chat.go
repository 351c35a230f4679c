package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"parley/router"
)

// client has the web client in it if the build has fetched it: converse.zip.
//
//go:embed client
var client embed.FS

//go:embed pages
var pages embed.FS

// notices are those of what the client has inside.
//
//go:embed pages/notices.txt
var notices string

// Chat returns the pages of the web client at /chat: Converse.js, if this build has it, set up
// for the site's domains. Without a way to connect there are none.
func Chat(site Site) []router.HTTP {
	raw, err := fs.ReadFile(client, "client/converse.zip")
	if err != nil { // built without
		raw = nil
	}
	return chatPages(site, raw)
}

// chatPages is Chat with the bundle raw, nil if there is none.
func chatPages(site Site, raw []byte) (list []router.HTTP) {
	if !site.hasChat() {
		return nil
	}
	// Whoever asks for /chat may be behind a proxy that has it under another path: a relative
	// address is right there as well.
	list = append(list, page("GET /chat", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "chat/")
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	b, err := openBundle(raw)
	if err != nil { // what is wrong is the build
		return append(list, page("GET /chat/{$}", func(w http.ResponseWriter, _ *http.Request) {
			render(w, http.StatusServiceUnavailable, missing, nil)
		}))
	}
	c := &chat{site: site, bundle: b}
	for _, name := range []string{"start.js", "start.css"} {
		list = append(list, page("GET /chat/"+name, asset(name)))
	}
	return append(list,
		page("GET /chat/{$}", c.index),
		page("GET /chat/about", func(w http.ResponseWriter, _ *http.Request) {
			render(w, http.StatusOK, about, struct{ Version, Notices string }{b.version, notices})
		}),
		page("GET /chat/{version}/{file...}", func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("version") != b.version {
				http.NotFound(w, r)
				return
			}
			b.serve(w, r, r.PathValue("file"))
		}))
}

var (
	index   = template.Must(template.ParseFS(pages, "pages/chat.html"))
	missing = template.Must(template.ParseFS(pages, "pages/missing.html"))
	about   = template.Must(template.ParseFS(pages, "pages/about.html"))
)

type chat struct {
	site   Site
	bundle *bundle
}

// index is the page with the client in it.
func (c *chat) index(w http.ResponseWriter, r *http.Request) {
	domain, _ := c.site.domain(r)
	settings, err := json.Marshal(c.settings(domain))
	if err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	guard(h, c.policy(domain))
	h.Set("Vary", "Host")
	write(w, http.StatusOK, index, struct{ Version, Domain, Settings string }{c.bundle.version, domain, string(settings)})
}

// emptyStyles are the sums of the style elements that Converse makes.
const emptyStyles = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-JRf3eZJIF59VkE1tlxlBPiCQXjGJ1uE88pEYh49RtTY='"

// policy is what the page may load: what this server has, and nothing of anybody else. Files
// that users send lie where the world sees the server, which may have another name.
func (c *chat) policy(domain string) string {
	ours, connect := "'self'", "'self'"
	if u := c.site.base(domain); u != nil {
		ours += " " + origin(u, "https")
		connect = ours + " " + origin(u, "wss")
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "worker-src 'self'", "font-src 'self'", "manifest-src 'none'",
		// The client writes colours and sizes into its elements, and style elements that have nothing
		// in them but, at most, a comment: their sums. Old browsers know the first line alone.
		"style-src 'self' 'unsafe-inline'", "style-src-attr 'unsafe-inline'", "style-src-elem 'self' " + emptyStyles,
		"img-src " + ours + " data: blob:", "media-src " + ours + " blob:", "connect-src " + connect,
	}, "; ")
}

// origin is a URL's, in ASCII, as a policy has it.
func origin(u *url.URL, scheme string) string {
	host := u.Hostname()
	if a, err := toASCII(host); err == nil {
		host = a
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		host += ":" + p
	}
	return scheme + "://" + host
}

// settings are Converse's, apart from addresses, which start.js makes of the page's own.
func (c *chat) settings(domain string) map[string]any {
	set := map[string]any{
		"authentication": "login", "view_mode": "fullscreen", "theme": "classic",
		"discover_connection_methods": false, // it is known, and would ask other hosts
		"play_sounds":                 false, // none are bundled

		// Nobody else is asked for anything.
		"autocomplete_providers_url": "", "xmpp_providers_url": "", "providers_link": "",
		"embed_3rd_party_media_players": false, "fetch_url_headers": false, "use_system_emojis": true,

		"allow_registration": false,
		// Its library for encryption is not bundled: see docs/web-client.md.
		"blacklisted_plugins": []string{"converse-omemo", "converse-omemo-views"},
		"enable_smacks":       true, "message_archiving": "always", "muc_nickname_from_jid": true,
		"websocket": c.site.WebSocket, "bosh": c.site.BOSH, // for start.js
	}
	for _, kind := range []string{"render_media", "allowed_image_domains", "allowed_audio_domains", "allowed_video_domains"} {
		set[kind] = c.mediaHosts(domain)
	}
	if len(c.site.Domains) == 1 {
		set["locked_domain"] = domain
	} else {
		set["default_domain"] = domain
	}
	rooms := domain
	if c.site.Rooms != nil && c.site.Rooms(domain) != "" {
		rooms = c.site.Rooms(domain)
		set["muc_domain"] = rooms
	}
	// By itself the client asks somebody else's directory of rooms for what is typed. Without any
	// service its dialogue is broken; ours answers that it has none.
	set["muc_search_service"] = rooms
	if c.site.Register != nil && c.site.Register() {
		set["allow_registration"], set["registration_domain"] = true, domain
	}
	return set
}

// mediaHosts are where pictures may come from; others are shown as links, since to load them
// tells somebody that, and from where, one reads. start.js adds the page's own.
func (c *chat) mediaHosts(domain string) []string {
	if u := c.site.base(domain); u != nil {
		return []string{u.Hostname()} // as the client compares them
	}
	return []string{}
}

// asset serves a file of ours that changes with the server.
func asset(name string) http.HandlerFunc {
	text, err := pages.ReadFile("pages/" + name)
	if err != nil {
		panic(err) // the build embeds it
	}
	tag := fmt.Sprintf(`"%08x"`, crc32.ChecksumIEEE(text))
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		guard(h, "default-src 'none'")
		h.Set("Content-Type", kindOf(name))
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if strings.Contains(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(text)
	}
}

// render answers with a page that loads nothing but its own style.
func render(w http.ResponseWriter, status int, t *template.Template, data any) {
	guard(w.Header(), "default-src 'none'; img-src data:; style-src 'self'")
	write(w, status, t, data)
}

func write(w http.ResponseWriter, status int, t *template.Template, data any) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"parley/xep/contact"
	"parley/xmpp"
)

// A Config is everything an operator may set. Every field has a default, a key in the
// file, an environment variable (PARLEY_ and the key in capitals, dots as underscores)
// and an explanation, which the example configuration is printed from.
type Config struct {
	Domains []string `toml:"domains" doc:"The domains of this server: what stands behind the @ in its users' addresses. The first is the default one."`
	Data    string   `toml:"data" doc:"The directory for everything that is kept: the database, certificates made by the server, the control socket. Relative to the working directory."`

	C2S          C2SConfig           `toml:"c2s" doc:"Clients."`
	TLS          TLSConfig           `toml:"tls" doc:"Certificates."`
	Auth         AuthConfig          `toml:"auth" doc:"Who may log in, and how."`
	Registration RegistrationConfig  `toml:"registration" doc:"Accounts that people make for themselves."`
	Limits       LimitsConfig        `toml:"limits" doc:"What one account may use."`
	Storage      StorageConfig       `toml:"storage" doc:"The database."`
	Contact      map[string][]string `toml:"contact" doc:"Whom to write to about this server (XEP-0157), shown to everybody who asks: lists of mailto:, xmpp: or https: addresses under the names abuse, admin, feedback, sales, security, status, support."`
	Metrics      MetricsConfig       `toml:"metrics" doc:"Figures for Prometheus (/metrics) and health checks (/healthz, /readyz)."`
	Log          LogConfig           `toml:"log" doc:"What the server says. Stanzas, passwords and tokens are never logged."`
	Certificates map[string]CertFile `toml:"certificates" doc:"Certificate files by domain. A domain that is not named here gets a self-signed certificate, made in the data directory."`
}

// C2SConfig is about clients.
type C2SConfig struct {
	Listen       []string `toml:"listen" doc:"Addresses for clients that begin in clear and switch to TLS (STARTTLS). A bare port listens on all addresses. Empty: none."`
	ListenTLS    []string `toml:"listen_tls" doc:"Addresses for clients that begin with TLS (XEP-0368)."`
	RequireTLS   bool     `toml:"require_tls" doc:"Offer nothing but STARTTLS on a connection in clear. Switch it off for tests on one machine only."`
	StanzaBefore int      `toml:"max_stanza_before_login" reload:"true" doc:"The largest stanza before login, in bytes. At least 10000 (RFC 6120 §13.12)."`
	Stanza       int      `toml:"max_stanza" reload:"true" doc:"The largest stanza after login, in bytes."`
	LoginTimeout Duration `toml:"login_timeout" reload:"true" doc:"How long a connection may take to log in."`
	Idle         Duration `toml:"idle" reload:"true" doc:"After how much silence the server asks a client whether it is still there."`
	PingTimeout  Duration `toml:"ping_timeout" reload:"true" doc:"How long the client may take to answer that."`
	Queue        int      `toml:"queue" reload:"true" doc:"How many bytes may wait for a client that does not read; beyond that its stream is ended. At least twice limits.offline_bytes."`
	Stall        Duration `toml:"stall" reload:"true" doc:"How long a client may read nothing while a quarter of that waits."`
	PerAddress   int      `toml:"max_logins_per_address" reload:"true" doc:"How many connections of one address may be on their way to a login at the same time. 0: any number."`
	Attempts     int      `toml:"max_attempts" reload:"true" doc:"How many failed logins one connection may make (RFC 6120 §6.4.5: two to five)."`
}

// TLSConfig is about certificates.
type TLSConfig struct {
	ClientCA []string `toml:"client_ca" doc:"PEM files of authorities whose client certificates log in with SASL EXTERNAL (XEP-0178). Empty: nobody does."`
}

// CertFile names the files of one domain's certificate.
type CertFile struct {
	Cert string `toml:"cert" doc:"PEM file with the certificate, followed by its chain."`
	Key  string `toml:"key" doc:"PEM file with the private key."`
}

// AuthConfig is about logins.
type AuthConfig struct {
	Plain      bool `toml:"plain" doc:"Offer PLAIN under TLS, for clients that cannot do SCRAM. It hands the password to the server and invites downgrade attacks (XEP-0388 §3)."`
	Binding    bool `toml:"channel_binding" doc:"Offer the -PLUS mechanisms, which find out who listens in with a certificate of their own. slixmpp before 1.8.5 (poezio of Debian 12) chooses them and fails under TLS 1.3: switch it off for the sake of such clients."`
	Iterations int  `toml:"iterations" doc:"PBKDF2 iterations of new passwords; 4096 or more (RFC 7677 §4)."`
}

// RegistrationConfig is about in-band registration.
type RegistrationConfig struct {
	Open   bool `toml:"open" reload:"true" doc:"Anybody may make an account with their client (XEP-0077). An open server is found by spammers within days."`
	PerDay int  `toml:"per_address_per_day" reload:"true" doc:"How many accounts one address may make in a day. 0: any number."`
}

// LimitsConfig is about accounts.
type LimitsConfig struct {
	Resources       int `toml:"resources" reload:"true" doc:"How many clients of one account may be connected."`
	OfflineMessages int `toml:"offline_messages" reload:"true" doc:"How many messages wait for a user who is away; the senders of more get an error."`
	OfflineBytes    int `toml:"offline_bytes" reload:"true" doc:"How many bytes those may have."`
	Memory          int `toml:"memory" doc:"A soft limit for the server's memory in MiB: near it the garbage collector works harder. 0: none."`
}

// StorageConfig is about the database.
type StorageConfig struct {
	Readers int `toml:"readers" doc:"Connections that read while the one writer writes."`
	Queue   int `toml:"queue" doc:"How many bytes may wait to be written; beyond that clients are read more slowly."`
}

// MetricsConfig is about the operator's listener.
type MetricsConfig struct {
	Listen    string `toml:"listen" doc:"Address of the HTTP listener, a loopback address unless you know who can reach it. Empty: none."`
	Profiling bool   `toml:"profiling" doc:"Serve Go's profiles under /debug/pprof on the same listener. They can show what is in memory."`
}

// LogConfig is about the log.
type LogConfig struct {
	Level  string `toml:"level" reload:"true" doc:"debug, info, warn or error."`
	Format string `toml:"format" doc:"text or json."`
}

// A Duration is a time.Duration that is written as 90s, 5m or 1h30m.
type Duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(shortDuration(d.Duration)), nil }

func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// defaults is the configuration of a server that has no file.
func defaults() Config {
	d := func(t time.Duration) Duration { return Duration{t} }
	return Config{
		Domains: []string{"localhost"},
		Data:    "data",
		C2S: C2SConfig{
			Listen: []string{":5222"}, ListenTLS: []string{":5223"}, RequireTLS: true,
			StanzaBefore: 64 << 10, Stanza: 256 << 10, LoginTimeout: d(time.Minute),
			Idle: d(5 * time.Minute), PingTimeout: d(time.Minute), Queue: 4 << 20, Stall: d(10 * time.Second),
			PerAddress: 200, Attempts: 3,
		},
		Auth:         AuthConfig{Binding: true, Iterations: 10000},
		Registration: RegistrationConfig{PerDay: 3},
		Limits:       LimitsConfig{Resources: 10, OfflineMessages: 5000, OfflineBytes: 2 << 20},
		Storage:      StorageConfig{Readers: 3, Queue: 64 << 20},
		Metrics:      MetricsConfig{Listen: "127.0.0.1:5280"},
		Log:          LogConfig{Level: "info", Format: "text"},
	}
}

// A configError is a mistake in the configuration: which file, which line, what to do.
type configError struct {
	file string
	line int // 0 if unknown
	text string
}

func (e *configError) Error() string {
	switch {
	case e.file == "":
		return e.text
	case e.line == 0:
		return e.file + ": " + e.text
	}
	return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.text)
}

// loadConfig reads the file (none if the name is empty), then the environment, and checks
// the result.
func loadConfig(file string, environ []string) (Config, error) {
	cfg := defaults()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return cfg, &configError{text: fmt.Sprintf("the configuration cannot be read: %v", err)}
		}
		if err := parseConfig(file, string(text), &cfg); err != nil {
			return cfg, err
		}
	}
	if err := applyEnvironment(&cfg, environ); err != nil {
		return cfg, err
	}
	return cfg, checkConfig(file, &cfg)
}

func parseConfig(file, text string, cfg *Config) error {
	meta, err := toml.Decode(text, cfg)
	if err != nil {
		if p, ok := err.(toml.ParseError); ok {
			return &configError{file, p.Position.Line, p.Message}
		}
		return &configError{file: file, text: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	valid := keys(reflect.TypeFor[Config](), "")
	for _, key := range meta.Undecoded() {
		name := key.String()
		e := &configError{file, lineOf(text, key), fmt.Sprintf("there is no key %q", name)}
		if near := nearest(name, valid); near != "" {
			e.text += fmt.Sprintf("; did you mean %q?", near)
		}
		return e
	}
	return nil
}

// keys lists all keys below a struct type.
func keys(t reflect.Type, prefix string) (list []string) {
	for f := range fields(t) {
		name := prefix + f.Tag.Get("toml")
		list = append(list, name)
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
			list = append(list, keys(f.Type, name+".")...)
		}
	}
	return list
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// lineOf finds the line of a key, which the decoder does not tell for unknown ones.
func lineOf(text string, key toml.Key) int {
	table := ""
	want := strings.Join(key, ".")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(strings.TrimLeft(name, "["), "]")
			table = strings.ReplaceAll(strings.TrimSpace(name), `"`, "") + "."
			if table == want+"." {
				return i + 1
			}
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		if ok && strings.ReplaceAll(table+strings.TrimSpace(name), `"`, "") == want {
			return i + 1
		}
	}
	return 0
}

// nearest returns the valid key that a wrong one was most likely meant to be, or "".
func nearest(name string, valid []string) string {
	best, distance := "", 4+len(name)/4
	for _, v := range valid {
		d := editDistance(name, v)
		if last := v[strings.LastIndexByte(v, '.')+1:]; last == name[strings.LastIndexByte(name, '.')+1:] {
			d = min(d, 1) // right name, wrong table
		}
		if d < distance {
			best, distance = v, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// applyEnvironment sets keys from variables like PARLEY_C2S_LISTEN; lists are separated
// by commas.
func applyEnvironment(cfg *Config, environ []string) error {
	settable := map[string]reflect.Value{}
	collect(reflect.ValueOf(cfg).Elem(), "PARLEY_", settable)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "PARLEY_") || name == "PARLEY_CONFIG" {
			continue
		}
		v, ok := settable[name]
		if !ok {
			e := &configError{text: fmt.Sprintf("environment: there is no setting %s", name)}
			var names []string
			for n := range settable {
				names = append(names, n)
			}
			slices.Sort(names)
			if near := nearest(name, names); near != "" {
				e.text += "; did you mean " + near + "?"
			}
			return e
		}
		if err := setValue(v, value); err != nil {
			return &configError{text: fmt.Sprintf("environment: %s=%s: %v", name, value, err)}
		}
	}
	return nil
}

func collect(v reflect.Value, prefix string, into map[string]reflect.Value) {
	for f := range fields(v.Type()) {
		name := prefix + strings.ToUpper(f.Tag.Get("toml"))
		field := v.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.Map:
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]():
			collect(field, name+"_", into)
		default:
			into[name] = field
		}
	}
}

func setValue(v reflect.Value, s string) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = s
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	case *bool:
		*p, err = strconv.ParseBool(s)
	case *int:
		*p, err = strconv.Atoi(s)
	case *Duration:
		err = p.UnmarshalText([]byte(s))
	default:
		err = fmt.Errorf("a %T cannot be set here", p)
	}
	return err
}

// checkConfig finds what a server could not work with.
func checkConfig(file string, cfg *Config) error {
	wrong := func(format string, args ...any) error {
		return &configError{file: file, text: fmt.Sprintf(format, args...)}
	}
	if len(cfg.Domains) == 0 {
		return wrong("domains: a server needs a domain")
	}
	for i, d := range cfg.Domains {
		j, err := xmpp.ParseJID(d)
		if err != nil || !j.IsHost() {
			return wrong("domains: %q is no domain", d)
		}
		cfg.Domains[i] = j.Domain()
	}
	if cfg.Data == "" {
		return wrong("data: a server needs a directory")
	}
	for key, list := range map[string][]string{"c2s.listen": cfg.C2S.Listen, "c2s.listen_tls": cfg.C2S.ListenTLS, "metrics.listen": {cfg.Metrics.Listen}} {
		for i, a := range list {
			if a == "" && key == "metrics.listen" {
				continue
			}
			if _, err := strconv.Atoi(a); err == nil {
				a = ":" + a
				list[i] = a
			}
			if _, _, err := net.SplitHostPort(a); err != nil {
				return wrong("%s: %q is no address; write it as 127.0.0.1:5222, [::1]:5222 or :5222", key, a)
			}
		}
		if key == "metrics.listen" {
			cfg.Metrics.Listen = list[0]
		}
	}
	for _, n := range []struct {
		key        string
		value      int
		least, top int
	}{
		{"c2s.max_stanza_before_login", cfg.C2S.StanzaBefore, 10000, 1 << 20},
		{"c2s.max_stanza", cfg.C2S.Stanza, 10000, 16 << 20},
		{"c2s.queue", cfg.C2S.Queue, 2 * cfg.Limits.OfflineBytes, 1 << 30},
		{"c2s.max_logins_per_address", cfg.C2S.PerAddress, 0, 1 << 30},
		{"c2s.max_attempts", cfg.C2S.Attempts, 2, 5},
		{"auth.iterations", cfg.Auth.Iterations, 4096, 10_000_000},
		{"registration.per_address_per_day", cfg.Registration.PerDay, 0, 1 << 30},
		{"limits.resources", cfg.Limits.Resources, 1, 1000},
		{"limits.offline_messages", cfg.Limits.OfflineMessages, 1, 1 << 30},
		{"limits.offline_bytes", cfg.Limits.OfflineBytes, 1, 512 << 20},
		{"limits.memory", cfg.Limits.Memory, 0, 1 << 30},
		{"storage.readers", cfg.Storage.Readers, 1, 64},
		{"storage.queue", cfg.Storage.Queue, 1 << 20, 1 << 34},
	} {
		if n.value < n.least || n.value > n.top {
			return wrong("%s: %d is not between %d and %d", n.key, n.value, n.least, n.top)
		}
	}
	for key, d := range map[string]Duration{"c2s.login_timeout": cfg.C2S.LoginTimeout, "c2s.idle": cfg.C2S.Idle, "c2s.ping_timeout": cfg.C2S.PingTimeout, "c2s.stall": cfg.C2S.Stall} {
		if d.Duration < time.Second {
			return wrong("%s: %s is less than a second", key, d.Duration)
		}
	}
	for kind := range cfg.Contact {
		if !slices.Contains(contact.Kinds, kind) {
			return wrong("contact.%s: the names are %s", kind, strings.Join(contact.Kinds, ", "))
		}
	}
	for domain, files := range cfg.Certificates {
		if !slices.Contains(cfg.Domains, domain) {
			return wrong("certificates.%q: this is none of the domains", domain)
		}
		if files.Cert == "" || files.Key == "" {
			return wrong("certificates.%q: both cert and key are needed", domain)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, cfg.Log.Level) {
		return wrong("log.level: %q is none of debug, info, warn, error", cfg.Log.Level)
	}
	if cfg.Log.Format != "text" && cfg.Log.Format != "json" {
		return wrong("log.format: %q is neither text nor json", cfg.Log.Format)
	}
	return nil
}

// unreloadable lists the keys that differ between two configurations and need a restart.
func unreloadable(was, now Config) []string {
	return differing(reflect.ValueOf(was), reflect.ValueOf(now), "")
}

func differing(was, now reflect.Value, prefix string) (list []string) {
	for f := range fields(was.Type()) {
		name := prefix + f.Tag.Get("toml")
		a, b := was.FieldByIndex(f.Index), now.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]():
			list = append(list, differing(a, b, name+".")...)
		case f.Tag.Get("reload") != "" || name == "certificates" || name == "contact":
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			list = append(list, name)
		}
	}
	return list
}

// socketPath is where the control socket of a data directory lies.
func socketPath(data string) string { return filepath.Join(data, "parley.sock") }

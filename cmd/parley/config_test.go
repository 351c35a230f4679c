package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, text string, environ ...string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parley.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(file, environ)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), file, "FILE"))
	}
	return cfg, err
}

func TestMistakesInTheFile(t *testing.T) {
	for text, want := range map[string]string{
		"domain = [\"a\"]":                                         `FILE:1: there is no key "domain"; did you mean "domains"?`,
		"\n[c2s]\nqueu = 5":                                        `FILE:3: there is no key "c2s.queu"; did you mean "c2s.queue"?`,
		"[limits]\nmax_stanza = 1":                                 `FILE:2: there is no key "limits.max_stanza"; did you mean "c2s.max_stanza"?`,
		"[lgo]\nlevel = \"info\"":                                  `FILE:1: there is no key "lgo"; did you mean "log"?`,
		"c2s.qeue = 5":                                             `FILE:1: there is no key "c2s.qeue"; did you mean "c2s.queue"?`,
		"[xyzzyplugh]":                                             `FILE:1: there is no key "xyzzyplugh"`,
		"[c2s]\n\nqueue = \"x\"":                                   `FILE:3: c2s.queue: this must be a whole number, not a text in quotes ("...")`,
		"domains = \"a.example\"":                                  `FILE:1: domains: this must be a list (["...", "..."]), not a text in quotes ("...")`,
		"[auth]\nplain = 1":                                        `FILE:2: auth.plain: this must be true or false, not a whole number`,
		"[c2s]\nidle = \"5\"":                                      `FILE:2: c2s.idle: "5" is no duration; write it as 90s, 5m or 1h30m`,
		"[c2s]\nidle = 5":                                          `FILE:2: c2s.idle: "5" is no duration; write it as 90s, 5m or 1h30m`,
		"[c2s]\nidle = \"5ms\"":                                    `FILE:2: c2s.idle: 5ms is less than a second`,
		"[c2s]\nqueue = 1":                                         `FILE:2: c2s.queue: 1 is not between 65536 and 1073741824`,
		"limits.offline_bytes=3000000":                             `FILE: c2s.queue: 4194304 is less than twice limits.offline_bytes, which is 6000000`,
		"[c2s]\nlisten = [\"here\"]":                               `FILE:2: c2s.listen: "here" is no address; write it as 127.0.0.1:5222, [::1]:5222 or :5222`,
		"[c2s]\nlisten = [\"70000\"]":                              `FILE:2: c2s.listen: ":70000" is no address; write it as 127.0.0.1:5222, [::1]:5222 or :5222`,
		"\nadmins = [\"juliet\"]":                                  `FILE:2: admins: "juliet" is no user's address; write it as juliet@localhost`,
		"admins = [\"a@localhost/b\"]":                             `FILE:1: admins: "a@localhost/b" is no user's address; write it as juliet@localhost`,
		"admins = [\"a@b.example\"]":                               `FILE:1: admins: a@b.example: b.example is none of the domains, localhost`,
		"admins = [\"A@localhost\", \"a@LOCALHOST\"]":              `FILE:1: admins: a@localhost is named twice`,
		"domains = []":                                             `FILE:1: domains: a server needs a domain`,
		"domains = [\"a@b\"]":                                      `FILE:1: domains: "a@b" is no domain`,
		"domains = [\"a\", \"A\"]":                                 `FILE:1: domains: a is named twice`,
		"data = \"\"":                                              `FILE:1: data: a server needs a directory`,
		"[log]\nlevel = \"loud\"":                                  `FILE:2: log.level: "loud" is none of debug, info, warn, error`,
		"[log]\nformat = \"xml\"":                                  `FILE:2: log.format: "xml" is neither text nor json`,
		"[http]\naddresses = [\"example.org\"]":                    `FILE:2: http.addresses: "example.org" is no IP address`,
		"[contact]\nabuse = [\"a@example.org\"]":                   `FILE:2: contact.abuse: "a@example.org" is no URI; write it as mailto:a@example.org, xmpp:a@example.org or https://...`,
		"[shared_groups]\nA = [\"@localhost\"]":                    `FILE:2: shared_groups.A: this must be a table, not a list (["...", "..."])`,
		"[contact]\nboss = [\"a\"]":                                `FILE:2: contact.boss: the names are abuse, admin, feedback, sales, security, status, support`,
		"[certificates.\"b.example\"]\ncert = \"a\"\nkey = \"b\"":  `FILE:1: certificates.b.example: this is none of the domains, localhost`,
		"[certificates.localhost]\ncert = \"a\"":                   `FILE:1: certificates.localhost: both cert and key are needed`,
		"[certificates.localhost]\ncret = \"a\"":                   `FILE:2: there is no key "certificates.localhost.cret"; did you mean "certificates.localhost.cert"?`,
		"[s2s_domains.\"b.example\"]\n\nrequre_certificate = true": `FILE:3: there is no key "s2s_domains.b.example.requre_certificate"; did you mean "s2s_domains.b.example.require_certificate"?`,
		"[s2s_domains.\"b.example\"]\nxyzzyplugh = true":           `FILE:2: there is no key "s2s_domains.b.example.xyzzyplugh"`,
		"[s2s_domain.\"b.example\"]\ndialback = true":              `FILE:1: there is no key "s2s_domain.b.example"; did you mean "s2s_domains.b.example"?`,
		"[s2s_domains.b.example]\ndialback = true":                 `FILE:1: there is no key "s2s_domains.b.example"; a name with dots is written in quotes: [s2s_domains."b.example"]`,
		"\n[component.irc.b.example]\nsecret = \"12345678\"":       `FILE:2: there is no key "component.irc.b.example"; a name with dots is written in quotes: [component."irc.b.example"]`,
		"[component.\"irc.localhost\"]\nsercet = \"12345678\"":     `FILE:2: there is no key "component.irc.localhost.sercet"; did you mean "component.irc.localhost.secret"?`,
		"[s2s_domains.\"b.example\"]\nroute = [\"c.example\"]\n[s2s_domains.\"d.example\"]\nroute = [\"http://x:1\"]": `FILE:4: s2s_domains.d.example.route: route "http://x:1" is not of the form host:port or tls://host:port`,
		"[s2s_domains.\"a b\"]\ndialback = true":                                                                                      `FILE:1: s2s_domains.a b: "a b" is no domain, and not of the form *.example.org`,
		"[s2s_domains.\"B.example\"]\ndialback = true\n[s2s_domains.\"b.example\"]\ndialback = false":                                 `FILE:3: s2s_domains.b.example: b.example is named twice`,
		"[s2s]\ndns = [\"dns.example\"]":                                                                                              `FILE:2: s2s.dns: "dns.example" is no address of a resolver, such as 127.0.0.1:53`,
		"[s2s]\ndns = [\" \"]":                                                                                                        `FILE:2: s2s.dns: " " is no address of a resolver, such as 127.0.0.1:53`,
		"[shared_groups.A]\nmembers = [\"@other.example\"]":                                                                           `FILE:2: shared_groups.A.members: other.example is none of the domains, localhost`,
		"[shared_groups.\"A B\"]\nmembers = [\"@a@localhost\"]":                                                                       `FILE:2: shared_groups.A B.members: "@a@localhost" is neither an address like juliet@localhost nor a domain like @localhost`,
		"[shared_groups.A]\nmembers = [\"a@localhost/x\"]":                                                                            `FILE:2: shared_groups.A.members: "a@localhost/x" is neither an address like juliet@localhost nor a domain like @localhost`,
		"[shared_groups.A]\nmembers = [\"localhost\"]\nshown_to = [\"@\"]":                                                            `FILE:3: shared_groups.A.shown_to: "@" is neither an address like juliet@localhost nor a domain like @localhost`,
		"[shared_groups.A]\nshown_to = [\"@localhost\"]":                                                                              `FILE:1: shared_groups.A: a group needs members`,
		"[shared_groups.\" \"]\nmembers = [\"@localhost\"]":                                                                           `FILE:1: shared_groups. : the name of a group is not empty and has no blanks around it`,
		"[component.localhost]\nsecret = \"12345678\"":                                                                                `FILE:1: component.localhost: this is one of the server's own domains; a component needs one for itself, as service.localhost`,
		"\n[component.\"a.localhost\"]\nsecret = \"secret\"":                                                                          `FILE:3: component.a.localhost.secret: a secret has 8 characters at least: who knows it speaks for the domain`,
		"[component.\"a.localhost\"]\n":                                                                                               `FILE:1: component.a.localhost: a component needs a secret`,
		"[component.\"a@b\"]\nsecret = \"12345678\"":                                                                                  `FILE:1: component.a@b: this is no domain`,
		"[component.a]\nsecret = \"12345678\"\n[component.A]\nsecret = \"12345678\"":                                                  `FILE:1: component.a: a is named twice`,
		"[component.a]\nsecret = \"12345678\"\nroster = \"all\"":                                                                      `FILE:3: component.a.roster: "all" is none of none, get, set, both`,
		"[component.a]\nsecret = \"12345678\"\nmessage = \"all\"":                                                                     `FILE:3: component.a.message: "all" is none of none, outgoing`,
		"[component.a]\nsecret = \"12345678\"\npresence = \"roster\"\nroster = \"set\"":                                               `FILE:3: component.a.presence: who is told of contacts may read contacts: roster has to be get or both`,
		"[component.a]\nsecret = \"12345678\"\niq = [\"x\"]":                                                                          `FILE:3: component.a.iq: "x" is not of the form namespace=get, =set or =both`,
		"[component.a]\nsecret = \"12345678\"\ndelegate = [\"urn:xmpp:delegation:2\"]":                                                `FILE:3: component.a.delegate: urn:xmpp:delegation:2 cannot be delegated`,
		"[component.a]\nsecret = \"12345678\"\ndelegate = [\"u:1\"]\n[component.b]\nsecret = \"12345678\"\ndelegate = [\"u:1 node\"]": `FILE:6: component.b.delegate: u:1 is delegated to a already`,
		"[component.a]\nsecret = 12345678":                                                                                            `FILE:2: component.a.secret: this must be a text in quotes ("..."), not a whole number`,
		"[components]\nidle = \"5ms\"":                                                                                                `FILE:2: components.idle: 5ms is less than a second; 0s asks nobody`,
		"[limits]\nroster_name = 5000":                                                                                                `FILE:2: limits.roster_name: 5000 is not between 1 and 4096`,
		"[search]\nresults = 0":                                                                                                       `FILE:2: search.results: 0 is not between 1 and 1000`,
	} {
		if _, err := load(t, text); err == nil || err.Error() != want {
			t.Errorf("%q\n  said %v\n  want %s", text, err, want)
		}
	}
	if _, err := load(t, "domains = [\n"); err == nil || !strings.HasPrefix(err.Error(), "FILE:") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestBarePortsAndDomains(t *testing.T) {
	cfg, err := load(t, "domains = [\"Example.ORG\"]\n[c2s]\nlisten = [\"15222\"]\n[metrics]\nlisten = \"15280\"\n[certificates.\"EXAMPLE.org\"]\ncert=\"c\"\nkey=\"k\"")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Domains[0] != "example.org" || cfg.C2S.Listen[0] != ":15222" || cfg.Metrics.Listen != ":15280" || cfg.Certificates["example.org"].Cert != "c" {
		t.Errorf("%+v", cfg)
	}
}

func example() string {
	var b bytes.Buffer
	writeExample(&b)
	return b.String()
}

func TestExampleIsTheDefaults(t *testing.T) {
	cfg, err := load(t, example())
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	checkConfig(&want)
	if cfg.Contact != nil && len(cfg.Contact) == 0 {
		cfg.Contact = nil // an empty table says as much as none
	}
	if d := cmp.Diff(want, cfg); d != "" {
		t.Errorf("the example is not the defaults:\n%s", d)
	}
}

// TestExampleUncommented takes the comment sign off each setting, one after the other.
func TestExampleUncommented(t *testing.T) {
	setting := regexp.MustCompile(`^# ([a-z0-9_]+ = .*|\[.*\])$`)
	lines := strings.Split(example(), "\n")
	found := map[string]bool{}
	table := ""
	for i, line := range lines {
		if strings.HasPrefix(line, "[") {
			table = strings.Trim(line, "[]") + "."
		}
		m := setting.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		changed := append([]string{}, lines...)
		changed[i] = m[1]
		if t, of := strings.CutPrefix(m[1], "["); of && strings.Contains(t, ".") { // with what belongs to it, and its domain
			table, _, _ = strings.Cut(t, ".")
			table += "."
			changed[i+1], changed[i+2] = strings.TrimPrefix(lines[i+1], "# "), strings.TrimPrefix(lines[i+2], "# ")
			changed[0] = "domains = [\"example.org\"]"
		} else if table == "certificates." || table == "shared_groups." || table == "archive_domains." || table == "rooms_domains." || table == "s2s_domains." || table == "component." || table == "external_services." {
			continue
		}
		name, _, _ := strings.Cut(m[1], " =")
		found[table+name] = true
		if _, err := load(t, strings.Join(changed, "\n")); err != nil {
			t.Errorf("with %s: %v", m[1], err)
		}
	}
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		if v := valueOf(key); v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[Duration]() || v.Kind() == reflect.Map {
			continue
		}
		if !found[key] {
			t.Errorf("%s is not in the example", key)
		}
	}
	if !found["contact.abuse"] || !found[`certificates.[certificates."example.org"]`] || !found[`shared_groups.[shared_groups."Support"]`] {
		t.Errorf("tables are missing in the example: %v", found)
	}
}

// valueOf returns the default of a key.
func valueOf(key string) reflect.Value {
	v := reflect.ValueOf(defaults())
	for part := range strings.SplitSeq(key, ".") {
		for f := range fields(v.Type()) {
			if f.Tag.Get("toml") == part {
				v = v.FieldByIndex(f.Index)
				break
			}
		}
	}
	return v
}

// TestEveryKeyIsExplained wants a text for every key, and a full stop.
func TestEveryKeyIsExplained(t *testing.T) {
	var check func(typ reflect.Type, prefix string)
	check = func(typ reflect.Type, prefix string) {
		for f := range fields(typ) {
			if doc := f.Tag.Get("doc"); !strings.HasSuffix(doc, ".") {
				t.Errorf("%s%s: %q", prefix, f.Tag.Get("toml"), doc)
			}
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
				check(f.Type, f.Tag.Get("toml")+".")
			}
		}
	}
	check(reflect.TypeFor[Config](), "")
}

// TestEnvironmentHasEveryKey sets each key of the file by its variable, to another value
// than its default, and compares with the file that says the same.
func TestEnvironmentHasEveryKey(t *testing.T) {
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		var value, text string
		switch v := valueOf(key).Interface().(type) {
		case []string:
			value, text = "127.0.0.1:1,127.0.0.1:2", `["127.0.0.1:1", "127.0.0.1:2"]`
			if key == "domains" || key == "upload.allow" || key == "s2s.allow" || key == "s2s.deny" {
				value, text = "a.example, b.example", `["a.example", "b.example"]`
			}
			if key == "rooms.defaults" {
				value, text = "moderated, hidden", `["moderated", "hidden"]`
			}
			if key == "http.addresses" {
				value, text = "192.0.2.1, 2001:db8::1", `["192.0.2.1", "2001:db8::1"]`
			}
			if key == "http.trusted_proxies" {
				value, text = "192.0.2.0/24, ::1", `["192.0.2.0/24", "::1"]`
			}
			if key == "admins" {
				value, text = "a@localhost, b@localhost", `["a@localhost", "b@localhost"]`
			}
		case Secret:
			value, text = "s", `"s"`
		case string:
			value = map[string]string{"log.level": "warn", "archive.default": "roster", "pubsub.create": "admins", "pubsub.prefix": "publish", "rooms.create": "admins", "rooms.kind": "company", "rooms.prefix": "rooms", "upload.prefix": "files", "upload_s3.endpoint": "https://s3.example.org", "upload_s3.bucket": "b", "upload_s3.region": "eu", "upload_s3.prefix": "p/", "upload_s3.access_key": "a", "upload_s3.secret_key_file": "/f", "file_proxy.prefix": "relay", "file_proxy.host": "relay.example.org", "log.format": "json", "metrics.listen": "127.0.0.1:9", "http.url": "https://chat.example.org/{domain}", "data": "/srv/parley"}[key]
			text = fmt.Sprintf("%q", value)
		case bool:
			value = fmt.Sprint(!v)
			text = value
		case int:
			value = fmt.Sprint(v + 1)
			if key == "limits.offline_bytes" {
				value = fmt.Sprint(v - 1)
			}
			text = value
		case Duration:
			value = "2h30m"
			text = `"2h30m"`
		default:
			continue
		}
		var with []string // what the key cannot be without
		if key == "upload_s3.endpoint" {
			with = []string{"PARLEY_UPLOAD_S3_BUCKET=b", "PARLEY_UPLOAD_S3_ACCESS_KEY=a", "PARLEY_UPLOAD_S3_SECRET_KEY=s"}
		}
		fromEnv, err := load(t, "", append(with, envName(key)+"="+value)...)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		fromFile, err := load(t, key+" = "+text, with...)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if d := cmp.Diff(fromFile, fromEnv); d != "" {
			t.Errorf("%s: the file and %s differ:\n%s", key, envName(key), d)
		}
		if unset, _ := load(t, "", with...); cmp.Equal(unset, fromEnv) {
			t.Errorf("%s=%s changes nothing", envName(key), value)
		}
	}
	cfg, err := load(t, "", "PARLEY_CONTACT_ABUSE=mailto:a@example.org,xmpp:a@example.org", "PARLEY_CERTIFICATES=localhost=/c.pem:/k.pem",
		"PARLEY_PORT=tcp://10.0.0.1:5222", "PARLEY_SERVICE_HOST=10.0.0.1", "PARLEY_PORT_5222_TCP_ADDR=10.0.0.1", "PARLEYX=1", "PARLEY_CONFIG=x")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Contact["abuse"]) != 2 || cfg.Certificates["localhost"] != (CertFile{"/c.pem", "/k.pem"}) {
		t.Errorf("%v %v", cfg.Contact, cfg.Certificates)
	}
}

func TestMistakesInTheEnvironment(t *testing.T) {
	for kv, want := range map[string]string{
		"PARLEY_C2S_LISTN=:1":                   "environment: there is no setting PARLEY_C2S_LISTN; did you mean PARLEY_C2S_LISTEN?",
		"PARLEY_AUTH_PLAIN=maybe":               "environment: PARLEY_AUTH_PLAIN=maybe: this must be true or false",
		"PARLEY_C2S_QUEUE=much":                 "environment: PARLEY_C2S_QUEUE=much: this must be a whole number",
		"PARLEY_C2S_QUEUE=7":                    "environment: PARLEY_C2S_QUEUE: 7 is not between 65536 and 1073741824",
		"PARLEY_C2S_IDLE=1":                     `environment: PARLEY_C2S_IDLE=1: "1" is no duration; write it as 90s, 5m or 1h30m`,
		"PARLEY_NOPE=1":                         "environment: there is no setting PARLEY_NOPE",
		"PARLEY_CONTACT_ADMIN=x":                `environment: PARLEY_CONTACT_ADMIN: "x" is no URI; write it as mailto:x, xmpp:x or https://...`,
		"PARLEY_SHARED_GROUPS=A=@other.example": "environment: PARLEY_SHARED_GROUPS: A.members: other.example is none of the domains, localhost",
		"PARLEY_CERTIFICATES=other.example=a:b": "environment: PARLEY_CERTIFICATES: other.example: this is none of the domains, localhost",
		"PARLEY_CERTIFICATES=a":                 `environment: PARLEY_CERTIFICATES=a: "a" is not of the form domain=certificate-file:key-file`,
	} {
		if _, err := load(t, "", kv); err == nil || err.Error() != want {
			t.Errorf("%s\n  said %v\n  want %s", kv, err, want)
		}
	}
}

// TestShowIsAConfiguration reads what `config show` prints.
func TestShowIsAConfiguration(t *testing.T) {
	var b bytes.Buffer
	want, err := load(t, "[c2s]\nidle = \"1h\"\nlogin_timeout = \"1m30s\"")
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.NewEncoder(&b).Encode(want); err != nil {
		t.Fatal(err)
	}
	got, err := load(t, b.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.C2S.Idle.Duration != time.Hour || got.C2S.LoginTimeout.Duration != 90*time.Second {
		t.Errorf("%+v", got.C2S)
	}
}

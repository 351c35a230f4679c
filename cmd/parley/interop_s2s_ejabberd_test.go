//go:build interop

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startEjabberd starts ejabberd with these domains. It believes certificates of the authority,
// and falls back to dialback where a domain has that.
func startEjabberd(t testing.TB, names *nameServer, ca *authority, hosts ...vhost) *stranger {
	t.Helper()
	s := newStranger(t, "erl", "ejabberd", "ejabberd")
	libs, _ := filepath.Glob("/usr/lib/*/ejabberd-*")
	if len(libs) == 0 {
		t.Fatal("there is no ejabberd in /usr/lib: the Debian package ejabberd is missing; run `make peers`")
	}
	api := freePorts(t, 1)[0]
	config := s.write("ejabberd.yml", ejabberdConfig(s, ca, api, hosts))
	rc := s.write("inetrc", fmt.Sprintf("{lookup,[file,dns]}.\n{resolv_conf,\"\"}.\n{hosts_file,\"\"}.\n{nameserver,{127,0,0,1},%s}.\n{cache_size,0}.\n", names.port()))
	s.register = func(name, domain, password string) error {
		return ejabberdDoes(api, "register", map[string]string{"user": name, "host": domain, "password": password})
	}
	// Not distributed: no port mapper, and no name that another could have.
	s.start(2*time.Minute, []string{
		"EJABBERD_CONFIG_PATH=" + config, "EJABBERD_LOG_PATH=" + filepath.Join(s.dir, "ejabberd.log"), "ERL_INETRC=" + rc,
		"ERL_LIBS=" + filepath.Dir(libs[0]), "ERL_CRASH_DUMP_BYTES=0", "ERL_MAX_PORTS=4096",
	}, "erl", "-noinput", "+K", "true", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
		"-mnesia", "dir", `"`+filepath.Join(s.dir, "mnesia")+`"`, "-s", "ejabberd")
	if err := ejabberdDoes(api, "status", map[string]string{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func ejabberdConfig(s *stranger, ca *authority, api string, hosts []vhost) string {
	var domains, certs, single strings.Builder
	rooms := ""
	for _, h := range hosts {
		if h.rooms { // of one domain, and so of all
			rooms = "  mod_mam: {default: always}\n  mod_muc: {access_create: local, access_mam: local, default_room_options: {mam: true, allow_user_invites: true, allow_change_subj: false}}\n"
		}
		fmt.Fprintf(&domains, "  - %s\n", h.domain)
		fmt.Fprintf(&certs, "  - %s\n", h.cred.both)
		if !h.noDialback {
			fmt.Fprintf(&single, "  %s:\n    modules:\n      mod_s2s_dialback: {}\n", h.domain)
		}
	}
	config := fmt.Sprintf(`loglevel: info
log_rotate_count: 0
hosts:
%scertfiles:
%sca_file: %s
listen:
  - {port: %s, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true}
  - {port: %s, ip: "127.0.0.1", module: ejabberd_s2s_in}
  - {port: %s, ip: "127.0.0.1", module: ejabberd_s2s_in, tls: true}
  - {port: %s, ip: "127.0.0.1", module: ejabberd_http, request_handlers: {/api: mod_http_api}}
api_permissions:
  "the test":
    from: mod_http_api
    who: {ip: 127.0.0.1}
    what: "*"
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
s2s_max_retry_delay: 1
auth_password_format: scram
acl:
  local: {user_regexp: ""}
access_rules:
  local: {allow: local}
shaper_rules:
  max_user_sessions: 100
  max_user_offline_messages: 5000
modules:
  mod_disco: {}
  mod_offline: {access_max_user_messages: max_user_offline_messages}
  mod_ping: {}
  mod_roster: {}
  mod_time: {}
  mod_version: {}
  mod_stream_mgmt: {}
  mod_http_api: {}
%s`, domains.String(), certs.String(), ca.file, portOf(s.c2s), portOf(s.s2s), portOf(s.s2sTLS), portOf(api), rooms)
	if single.Len() > 0 {
		config += "append_host_config:\n" + single.String()
	}
	return config
}

// ejabberdDoes runs one of its commands, which it has over HTTP as well.
func ejabberdDoes(api, command string, args map[string]string) error {
	body, _ := json.Marshal(args)
	client := &http.Client{Timeout: time.Minute}
	var err error
	for range 100 { // it opens its doors one after the other
		var r *http.Response
		if r, err = client.Post("http://"+api+"/api/"+command, "application/json", bytes.NewReader(body)); err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		out, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("ejabberd: %s %s: %s: %s", command, body, r.Status, out)
		}
		return nil
	}
	return fmt.Errorf("ejabberd: %s: %w", command, err)
}

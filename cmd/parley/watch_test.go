package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLogs runs sessions with known secrets at the level debug and looks for them in the
// log.
func TestLogs(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			c := startChild(t, "PARLEY_LOG_LEVEL=debug", "PARLEY_LOG_FORMAT="+format, "PARLEY_AUTH_PLAIN=true", "PARLEY_REGISTRATION_OPEN=true")
			c.must("open-sesame\n", "user", "add", "juliet")
			c.must("pw\n", "user", "add", "romeo")
			talk(t, c)
			c.must("other-sesame\n", "user", "passwd", "juliet")
			c.stop()
			log := c.log.String()
			for _, secret := range []string{"sesame", "moonlight", "pomegranate", base64.StdEncoding.EncodeToString([]byte("\x00juliet\x00wrong-sesame"))} {
				if i := strings.Index(log, secret); i >= 0 {
					t.Errorf("%q is in the log:\n%s", secret, log[max(0, i-300):min(len(log), i+100)])
				}
			}
			contains(t, log, "session opened", "session closed", "authentication failed", "account registered in-band", "stream ended by the server")
			checkLines(t, log, format)
		})
	}
}

// talk says secrets in every way that a client has.
func talk(t *testing.T, c *child) {
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "open-sesame", "j")
	juliet.send("<message to='romeo@localhost' type='chat'><body>by moonlight</body></message>")
	juliet.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><username>juliet</username><password>open-sesame</password></query></iq>")
	juliet.send("<iq type='set' id='2' to='localhost'><pomegranate xmlns='moonlight'/></iq>")
	juliet.ping()
	juliet.send("<message to='romeo@localhost'><body>moonlight</nobody></message>") // not well-formed
	juliet.toEnd()
	contains(t, dialTLS(t, c.direct, "localhost").auth("juliet", "wrong-sesame"), "not-authorized")
	plain := dialSTARTTLS(t, c.starttls, "localhost")
	plain.open()
	plain.expect("</stream:features>")
	plain.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + base64.StdEncoding.EncodeToString([]byte("\x00juliet\x00wrong-sesame")) + "</auth>")
	plain.expect("</failure>")
	plain.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>nurse</username><password>nurse-sesame</password></query></iq>")
	contains(t, plain.expect("id='r'")+plain.expect(">"), "type='result'")
	plain.send("<message to='romeo@localhost'><body>moonlight before login</body></message>")
	plain.toEnd()
}

// checkLines looks at every line: one about a connection has its id.
func checkLines(t *testing.T, log, format string) {
	t.Helper()
	conn := regexp.MustCompile(` conn=[a-z0-9]{10} addr=127\.0\.0\.1 `)
	about := 0
	for line := range strings.Lines(log) {
		if format == "text" {
			if strings.Contains(line, "addr=") || strings.Contains(line, "conn=") {
				about++
				if !conn.MatchString(line) {
					t.Errorf("no conn and addr: %s", line)
				}
			}
			continue
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("no JSON: %s", line)
			continue
		}
		if _, ok := m["addr"]; ok {
			about++
			if id, _ := m["conn"].(string); len(id) != 10 {
				t.Errorf("no conn: %s", line)
			}
		}
	}
	ended := regexp.MustCompile(`stream ended by the server.*conn"?[=:]"?([a-z0-9]{10})`)
	seen := map[string]bool{}
	for _, m := range ended.FindAllStringSubmatch(log, -1) {
		if seen[m[1]] {
			t.Errorf("the stream of %s ends twice", m[1])
		}
		seen[m[1]] = true
	}
	if about < 8 {
		t.Errorf("only %d lines are about connections:\n%s", about, log)
	}
}

// TestLockoutLine keeps the line that docs/operation.md tells fail2ban to look for.
func TestLockoutLine(t *testing.T) {
	c := startChild(t)
	dialTLS(t, c.direct, "localhost").auth("juliet", "guessed")
	c.waitLog("authentication failed")
	line := regexp.MustCompile(`level=WARN msg="authentication failed" conn=\S+ addr=127\.0\.0\.1 condition=not-authorized account=juliet@localhost`)
	if !line.MatchString(c.log.String()) {
		t.Errorf("%s", c.log)
	}
}

func get(t *testing.T, c *child, path string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + c.metrics + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestMetrics(t *testing.T) {
	c := startChild(t)
	c.must("pw\n", "user", "add", "juliet")
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(t, c, path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, body := get(t, c, "/metrics")
	contains(t, body, "parley_sessions 0\n", "parley_c2s_logins_total 0\n")
	juliet := dialTLS(t, c.direct, "localhost").login("juliet", "pw", "j")
	juliet.send("<message to='juliet@localhost/x' type='chat'><body>a</body></message>")
	juliet.ping()
	dialTLS(t, c.direct, "localhost").auth("juliet", "wrong")
	bad := dialTLS(t, c.direct, "localhost")
	bad.send("nonsense")
	bad.toEnd()
	_, body = get(t, c, "/metrics")
	contains(t, body, "parley_sessions 1\n", "parley_c2s_logins_total 1\n", "parley_c2s_logins_failed_total 1\n", "parley_c2s_accepted_total 3\n",
		`parley_stanzas_total{kind="message"} 1`, `parley_stanzas_total{kind="presence"} 1`, `parley_c2s_stream_errors_total{condition="`, "parley_storage_commit_seconds_bucket",
		"parley_c2s_connections ", "parley_c2s_websockets 0\n", "parley_c2s_bosh_sessions 0\n", "parley_c2s_refused_total 0", "parley_messages_unwritten_total 0", "parley_panics_total 0", "parley_auth_proofs_total 2", "parley_storage_queue_bytes ", "go_goroutines ", "process_open_fds ")
	if code, _ := get(t, c, "/other"); code != 404 {
		t.Errorf("an unknown page: %d", code)
	}
}

// TestProfiles: what shows the memory of the process is there only where the operator
// asks for it.
func TestProfiles(t *testing.T) {
	for value, want := range map[string]int{"false": 404, "true": 200} {
		c := startChild(t, "PARLEY_METRICS_PROFILING="+value)
		if code, _ := get(t, c, "/debug/pprof/heap"); code != want {
			t.Errorf("profiling %s: %d, want %d", value, code, want)
		}
	}
}

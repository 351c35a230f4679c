package s2s

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A web is what web servers answer: URL -> status, Location or body. It counts requests.
type web struct {
	mu    sync.Mutex
	pages map[string]page
	asked map[string]int
	hold  chan struct{} // requests wait for it
	open  int
	most  int
}

type page struct {
	status   int
	location string
	body     string
}

func (w *web) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked[req.URL.String()]++
	w.open++
	w.most = max(w.most, w.open)
	p, ok := w.pages[req.URL.String()]
	hold := w.hold
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.open--
		w.mu.Unlock()
	}()
	if hold != nil {
		select {
		case <-hold:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if !ok {
		return nil, errors.New("nobody there")
	}
	res := &http.Response{StatusCode: p.status, Status: fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)),
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(p.body)), Request: req}
	if p.location != "" {
		res.Header.Set("Location", p.location)
	}
	return res, nil
}

func (w *web) count(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[url]
}

const poshURL = "https://b.example/.well-known/posh/xmpp-server.json"

func newWeb(body string) *web {
	return &web{pages: map[string]page{poshURL: {200, "", body}}, asked: map[string]int{}}
}

func sums(s *signer) (sha256Sum, sha512Sum string) {
	a, b := sha256.Sum256(s.cert.Raw), sha512.Sum512(s.cert.Raw)
	return base64.StdEncoding.EncodeToString(a[:]), base64.StdEncoding.EncodeToString(b[:])
}

func printsOf(expires int, list ...map[string]string) string {
	text, _ := json.Marshal(map[string]any{"fingerprints": list, "expires": expires})
	return string(text)
}

func TestPOSH(t *testing.T) {
	leaf, other := server(t, nil, names{dns: []string{"hoster.example"}}), server(t, nil, names{})
	expired := issue(t, nil, func(c *x509.Certificate) { c.NotAfter = testTime().AddDate(0, 0, -1) })
	early := issue(t, nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = testTime().AddDate(1, 0, 0), testTime().AddDate(2, 0, 0)
	})
	weakKey, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := issueFor(t, nil, weakKey, nil)
	s256, s512 := sums(leaf)
	o256, o512 := sums(other)
	old256, _ := sums(expired)
	early256, _ := sums(early)
	weak256, _ := sums(weak)
	both := printsOf(60, map[string]string{"sha-256": s256, "sha-512": s512})
	const there = "https://hoster.example/posh/b.json"
	refer := fmt.Sprintf(`{"url":%q,"expires":60}`, there)
	for _, c := range []struct {
		name  string
		leaf  *signer
		body  string
		more  map[string]page
		want  bool
		whyNo string
	}{
		{"both digests", leaf, both, nil, true, ""},
		{"sha-256", leaf, printsOf(60, map[string]string{"sha-256": s256}), nil, true, ""},
		{"sha-512", leaf, printsOf(60, map[string]string{"SHA-512": s512}), nil, true, ""},
		{"no padding", leaf, printsOf(60, map[string]string{"sha-256": strings.TrimRight(s256, "=")}), nil, true, ""},
		{"the second", leaf, printsOf(60, map[string]string{"sha-256": o256}, map[string]string{"sha-256": s256}), nil, true, ""},
		{"an unknown digest too", leaf, printsOf(60, map[string]string{"sha3-512": "x", "sha-256": s256}), nil, true, ""},
		{"only an unknown digest", leaf, printsOf(60, map[string]string{"sha-1": s256}), nil, false, "names other certificates"},
		{"one of two is wrong", leaf, printsOf(60, map[string]string{"sha-256": s256, "sha-512": o512}), nil, false, "names other certificates"},
		{"another certificate", leaf, printsOf(60, map[string]string{"sha-256": o256}), nil, false, "names other certificates"},
		{"hex", leaf, printsOf(60, map[string]string{"sha-256": fmt.Sprintf("%x", s256)}), nil, false, "names other certificates"},
		{"nothing", leaf, printsOf(60), nil, false, "neither or both"},
		{"an empty one", leaf, printsOf(60, map[string]string{}), nil, false, "names other certificates"},
		{"expires 0", leaf, printsOf(0, map[string]string{"sha-256": s256}), nil, false, "expires after 0"},
		{"expires negative", leaf, printsOf(-5, map[string]string{"sha-256": s256}), nil, false, "expires after -5"},
		{"expires 1.5", leaf, `{"fingerprints":[{"sha-256":"` + s256 + `"}],"expires":1.5}`, nil, false, "expires after 1.5"},
		{"expires far", leaf, `{"fingerprints":[{"sha-256":"` + s256 + `"}],"expires":99999999999}`, nil, true, ""},
		{"no expires", leaf, `{"fingerprints":[{"sha-256":"` + s256 + `"}]}`, nil, false, "does not say when"},
		{"both kinds", leaf, `{"fingerprints":[{"sha-256":"` + s256 + `"}],"url":"https://x.example/","expires":60}`, nil, false, "neither or both"},
		{"no JSON", leaf, "<html>", nil, false, "not such a document"},
		{"too long", leaf, strings.Repeat(" ", maxDocument) + both, nil, false, "longer than"},
		{"expired certificate", expired, printsOf(60, map[string]string{"sha-256": old256}), nil, false, "valid from"}, // RFC 7711 §6
		{"early certificate", early, printsOf(60, map[string]string{"sha-256": early256}), nil, false, "valid from"},
		{"weak key", weak, printsOf(60, map[string]string{"sha-256": weak256}), nil, false, "1024 bits"},
		{"reference", leaf, refer, map[string]page{there: {200, "", both}}, true, ""},
		{"reference to nobody", leaf, refer, nil, false, "nobody there"},
		{"reference to a reference", leaf, refer, map[string]page{there: {200, "", refer}}, false, "refers to another"}, // RFC 7711 §3.2
		{"reference to http", leaf, `{"url":"http://hoster.example/x","expires":60}`, nil, false, "no https address"},
		{"reference to a local address", leaf, `{"url":"https://127.0.0.1/x","expires":60}`, nil, false, "no https address"},
		{"reference to a local name", leaf, `{"url":"https://router.local/x","expires":60}`, nil, false, "no https address"},
		{"reference with a password", leaf, `{"url":"https://a:b@hoster.example/x","expires":60}`, nil, false, "no https address"},
		{"reference that expires at once", leaf, `{"url":"` + there + `","expires":0}`, map[string]page{there: {200, "", both}}, false, "expires after 0"},
	} {
		w := newWeb(c.body)
		for url, p := range c.more {
			w.pages[url] = p
		}
		j := newTestJudge(t, nil, func(jc *JudgeConfig) { jc.POSH, jc.HTTP = true, w })
		v := j.Verify(testContext(t), "b.example", chainOf(c.leaf), nil, nil)
		if (v.Proof == ProofPOSH) != c.want || v.Refused || !strings.Contains(v.Reason, c.whyNo) {
			t.Errorf("%s: %+v", c.name, v)
		}
		if !c.want && v.Proof != "" {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// The example of RFC 7711 §3.2, with its redirects of §10.
func TestPOSHRedirects(t *testing.T) {
	leaf := server(t, nil, names{})
	s256, _ := sums(leaf)
	body := printsOf(60, map[string]string{"sha-256": s256})
	step := func(n int) string { return fmt.Sprintf("https://www.b.example/%d", n) }
	for _, c := range []struct {
		first string
		steps int
		want  bool
	}{{step(1), 1, true}, {step(1), 3, true}, {step(1), 4, false}, {"http://www.b.example/1", 1, false}, {"https://10.0.0.1/1", 1, false}} {
		w := newWeb("")
		w.pages[poshURL] = page{http.StatusFound, c.first, ""}
		for n := 1; n < c.steps; n++ {
			w.pages[step(n)] = page{http.StatusTemporaryRedirect, step(n + 1), ""}
		}
		w.pages[step(c.steps)] = page{200, "", body}
		j := newTestJudge(t, nil, func(jc *JudgeConfig) { jc.POSH, jc.HTTP = true, w })
		v := j.Verify(testContext(t), "b.example", chainOf(leaf), nil, nil)
		if (v.Proof == ProofPOSH) != c.want {
			t.Errorf("%+v: %+v", c, v)
		}
		if !c.want && c.steps == 1 && len(w.asked) != 1 {
			t.Errorf("%+v: asked %v", c, w.asked)
		}
	}
}

// Documents are remembered for as long as the shorter of two says, a day at most; and that
// there is none, for ten minutes.
func TestPOSHIsRemembered(t *testing.T) {
	leaf := server(t, nil, names{})
	s256, _ := sums(leaf)
	for _, c := range []struct {
		body string
		good time.Duration
	}{
		{printsOf(90, map[string]string{"sha-256": s256}), 90 * time.Second},
		{printsOf(1<<30, map[string]string{"sha-256": s256}), maxPOSHAge},
		{`{"url":"https://x.example/long","expires":30}`, 30 * time.Second},
		{`{"url":"https://x.example/short","expires":300}`, 20 * time.Second},
		{"nothing", noPOSHAge},
	} {
		w := newWeb(c.body)
		w.pages["https://x.example/long"] = page{200, "", printsOf(600, map[string]string{"sha-256": s256})}
		w.pages["https://x.example/short"] = page{200, "", printsOf(20, map[string]string{"sha-256": s256})}
		now := testTime()
		j := newTestJudge(t, nil, func(jc *JudgeConfig) {
			jc.POSH, jc.HTTP, jc.Now = true, w, func() time.Time { return now }
		})
		for _, s := range []struct {
			at    time.Duration
			count int
		}{{0, 1}, {c.good - time.Second, 1}, {c.good, 2}} {
			now = testTime().Add(s.at)
			j.Verify(testContext(t), "b.example", chainOf(leaf), nil, nil)
			if n := w.count(poshURL); n != s.count {
				t.Errorf("%s: fetched %d times after %v, not %d", cut(c.body, 40), n, s.at, s.count)
			}
		}
	}
}

func TestPOSHComesLast(t *testing.T) {
	root := newCA(t, "Test Root", nil)
	w := newWeb("x")
	j := newTestJudge(t, nil, func(jc *JudgeConfig) { jc.POSH, jc.HTTP = true, w; jc.Roots.AddCert(root.cert) })
	j.Verify(testContext(t), "b.example", chainOf(server(t, root, names{dns: []string{"b.example"}})), nil, nil)
	for _, domain := range []string{"localhost", "printer", "192.0.2.1", "[2001:db8::1]", "a.local", "a.internal", "1.2.3.4.5", "x.onion", "a.home.arpa", "b example"} {
		j.Verify(testContext(t), domain, chainOf(server(t, nil, names{})), nil, nil)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

// Nobody has more than a few fetches on their way, and a web server that never answers holds a
// stream for as long as it lets itself be held.
func TestPOSHIsBounded(t *testing.T) {
	w := newWeb("")
	w.hold = make(chan struct{})
	j := newTestJudge(t, nil, func(jc *JudgeConfig) { jc.POSH, jc.HTTP = true, w })
	leaf := server(t, nil, names{})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if v := j.Verify(ctx, fmt.Sprintf("b%d.example", i), chainOf(leaf), nil, nil); v.Proof != "" || !strings.Contains(v.Reason, "deadline") {
				t.Errorf("%+v", v)
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	most := w.most
	w.mu.Unlock()
	if most != maxFetches {
		t.Errorf("%d at once", most)
	}
	j.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		open := w.open
		w.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("fetches go on after Close")
		}
	}
}

// A stranger's domain that leads into our network is not followed there, by the way that the
// program itself uses.
func TestPOSHStaysOutside(t *testing.T) {
	z := newZone(t, "b.example. 60 IN A 127.94.3.7")
	leaf := server(t, nil, names{})
	for private, want := range map[bool]string{false: "127.94.3.7 is no public address", true: "127.94.3.7: connect"} {
		j := newTestJudge(t, z, func(jc *JudgeConfig) { jc.POSH, jc.POSHPrivate = true, private })
		v := j.Verify(testContext(t), "b.example", chainOf(leaf), nil, nil)
		if v.Proof != "" || !strings.Contains(v.Reason, want) {
			t.Errorf("private %v: %+v", private, v)
		}
	}
}

// The program's own way: our resolver, our authorities, and HTTPS.
func TestPOSHByHTTPS(t *testing.T) {
	root, leaf := newCA(t, "Test Root", nil), server(t, nil, names{})
	s256, _ := sums(leaf)
	site := server(t, root, names{dns: []string{"b.example"}})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, printsOf(60, map[string]string{"sha-256": s256}))
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{site.cert.Raw}, PrivateKey: site.key}}}
	srv.StartTLS()
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	z := newZone(t, "b.example. 60 IN A 127.0.0.1", "c.example. 60 IN A 127.0.0.1")
	known := newTestJudge(t, z, func(jc *JudgeConfig) { jc.POSHPrivate = true; jc.Roots.AddCert(root.cert) })
	if doc, age, err := known.posh.document(testContext(t), "https://b.example:"+port+poshPath); err != nil || age != time.Minute || len(doc.Fingerprints) != 1 {
		t.Error(doc, age, err)
	}
	if _, _, err := known.posh.document(testContext(t), "https://c.example:"+port+poshPath); err == nil || !strings.Contains(err.Error(), "not c.example") {
		t.Error(err)
	}
	unknown := newTestJudge(t, z, func(jc *JudgeConfig) { jc.POSHPrivate = true })
	if _, _, err := unknown.posh.document(testContext(t), "https://b.example:"+port+poshPath); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Error(err)
	}
}

// FuzzPOSH reads documents of any form.
func FuzzPOSH(f *testing.F) {
	leaf := server(f, nil, names{})
	s256, s512 := sums(leaf)
	f.Add(printsOf(60, map[string]string{"sha-256": s256, "sha-512": s512}))
	f.Add(`{"url":"https://x.example/","expires":1}`)
	f.Add(`{"url":null,"fingerprints":[{}],"expires":1e3}`)
	f.Fuzz(func(t *testing.T, text string) {
		doc, age, err := parseDocument([]byte(text))
		if err != nil {
			return
		}
		if age <= 0 || age > maxPOSHAge || len(doc.Fingerprints) > maxFingerprints || (doc.URL == nil) == (len(doc.Fingerprints) == 0) {
			t.Fatalf("%+v for %v", doc, age)
		}
		for _, descriptor := range doc.Fingerprints {
			print, ok := readPrint(descriptor)
			if print.matches(leaf.cert.Raw) && !ok {
				t.Fatalf("%v fits, and is of no use", descriptor)
			}
			if ok && print.matches(leaf.cert.Raw) && !strings.Contains(text, s256[:20]) && !strings.Contains(text, s512[:20]) && !strings.Contains(text, `\`) {
				t.Fatalf("%v fits", descriptor)
			}
		}
	})
}

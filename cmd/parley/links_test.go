package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// linkMemory is what one connection with another server may take, in bytes: what docs/federation.md
// says.
const linkMemory = 85 << 10

// TestThousandLinks has 1,000 servers connect, prove their domains and use both directions, and
// looks at the memory that the program takes for it; they are gone when their servers are.
func TestThousandLinks(t *testing.T) {
	const n = 1000
	ca, cert := wildcard(t, "*.many.example")
	addr := freePorts(t, 1)[0]
	c := startChild(t, "PARLEY_S2S_LISTEN_TLS="+addr, "PARLEY_S2S_CA="+ca, "PARLEY_LOG_LEVEL=warn")
	before := c.memory()
	var links []*tls.Conn
	for i := range n {
		l, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-server"}, Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		links = append(links, l)
		l.SetDeadline(time.Now().Add(30 * time.Second))
		header := fmt.Sprintf("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='d%d.many.example' to='localhost' version='1.0'>", i)
		dialogue(t, l, header, "</stream:features>")
		dialogue(t, l, "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", "<success ")
		dialogue(t, l, header, "</stream:features>")
		dialogue(t, l, fmt.Sprintf("<iq type='get' id='1' from='d%d.many.example' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>", i), "type='result'")
	}
	each := (c.memory() - before) / n
	t.Logf("%d bytes a connection", each)
	if each > linkMemory {
		t.Errorf("a connection takes %d bytes", each)
	}
	if up := strings.Count(c.figures(), "parley_s2s_domain_up{"); up > maxDomainMetrics+1 {
		t.Errorf("%d domains have figures of their own", up)
	}
	for _, l := range links {
		l.Close()
	}
	for end := time.Now().Add(20 * time.Second); c.figure("parley_s2s_connections", `\{direction="in"\}`) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connections are still there")
		}
	}
}

// dialogue says something and reads until an answer has come.
func dialogue(t *testing.T, c io.ReadWriter, say, until string) {
	t.Helper()
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(got.String(), until); {
		n, err := c.Read(buf)
		if got.Write(buf[:n]); err != nil {
			t.Fatalf("%v instead of %s, after %s", err, until, got.String())
		}
	}
}

// figures is all that the server tells Prometheus.
func (c *child) figures() string {
	c.t.Helper()
	r, err := http.Get("http://" + c.metrics + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// figure is one of them; labels is an expression.
func (c *child) figure(name, labels string) float64 {
	c.t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + labels + ` (\S+)$`).FindStringSubmatch(c.figures())
	if m == nil {
		c.t.Fatalf("there is no figure %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// memory is what the heap and the stacks of the program take, garbage included.
func (c *child) memory() int {
	c.t.Helper()
	return int(c.figure("go_memstats_heap_inuse_bytes", "") + c.figure("go_memstats_stack_inuse_bytes", ""))
}

// wildcard makes an authority's certificate, as a file, and one of it for a name.
func wildcard(t *testing.T, name string) (file string, leaf tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	one := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	if der, err = x509.CreateCertificate(rand.Reader, one, root, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

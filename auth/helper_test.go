package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/storage/storagetest"
	"parley/xmpp"
)

const host = "example.org"

// clock is a Config.Now that tests move, and a Config.Sleep that moves it.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept time.Duration
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.slept += d
	return ctx.Err()
}

// waited returns how long was slept since the last call.
func (c *clock) waited() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.slept
	c.slept = 0
	return d
}

// open makes an Auth over a new store. Hashing is as cheap as is allowed, and the clock
// stands still.
func open(t testing.TB, cfg Config) (*Auth, *clock) {
	t.Helper()
	c := newClock()
	if cfg.Now == nil {
		cfg.Now, cfg.Sleep = c.now, c.sleep
	}
	if cfg.Iterations == 0 {
		cfg.Iterations = minIterations
	}
	a, err := New(context.Background(), storagetest.Open(t, Schema()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func create(t testing.TB, a *Auth, local, password string) Account {
	t.Helper()
	acc, err := a.Accounts().Create(context.Background(), address(local), password)
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

func address(local string) xmpp.JID { return xmpp.MustJID(local + "@" + host) }

// channel is a TLS connection with both kinds of binding data.
func channel(peer string) Channel {
	return Channel{
		TLS: true, Exporter: []byte("exported secret, 32 bytes long.."), EndPoint: []byte("hash of the certificate"),
		Peer: netip.MustParseAddr(peer), Host: host,
	}
}

const somewhere = "192.0.2.1"

// unbound is a TLS connection without channel bindings.
func unbound(peer string) Channel {
	ch := channel(peer)
	ch.Exporter, ch.EndPoint = nil, nil
	return ch
}

func begin(t testing.TB, a *Auth, mechanism string, ch Channel) *Exchange {
	t.Helper()
	x, err := a.Start(context.Background(), mechanism, ch, a.Mechanisms(ch))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// condition returns the SASL condition of an error, "" for none.
func condition(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v is no *Failure", err)
	}
	return f.Condition
}

func wantCondition(t testing.TB, err error, want string) {
	t.Helper()
	if got := condition(t, err); got != want {
		t.Fatalf("got %q (%v), want %q", got, err, want)
	}
}

// scramClient is a client that a test can bend.
type scramClient struct {
	hash           Hash
	flag           string // gs2-cbind-flag, "n" by default
	binding        []byte
	authzid        string
	name, password string

	bindAs    string                       // c= instead of the right one, decoded
	first     func(string) string          // changes the first message
	final     func(unproved string) string // changes the final one before its proof
	proof     func([]byte) []byte          // changes the proof
	challenge string                       // what came
}

func (c *scramClient) header() string {
	flag := c.flag
	if flag == "" {
		flag = "n"
	}
	z := ""
	if c.authzid != "" {
		z = "a=" + c.authzid
	}
	return flag + "," + z + ","
}

// login plays the client against an exchange.
func (c *scramClient) login(ctx context.Context, x *Exchange) (serverFinal []byte, err error) {
	bare := "n=" + c.name + ",r=rOprNGfwEbeRWgbNEkqO"
	first := c.header() + bare
	if c.first != nil {
		first = c.first(first)
		bare = first[len(c.header()):]
	}
	out, done, err := x.Step(ctx, []byte(first))
	if err != nil || done {
		return nil, errors.Join(err, doneTooEarly(done))
	}
	c.challenge = string(out)
	final, err := c.answer(bare, c.challenge)
	if err != nil {
		return nil, err
	}
	out, done, err = x.Step(ctx, []byte(final))
	if err == nil && !done {
		err = errors.New("not done after the final message")
	}
	return out, err
}

func doneTooEarly(done bool) error {
	if done {
		return errors.New("done after the first message")
	}
	return nil
}

func (c *scramClient) answer(bare, challenge string) (string, error) {
	r, s, i := attribute(challenge, "r"), attribute(challenge, "s"), attribute(challenge, "i")
	salt, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", err
	}
	iterations, err := strconv.Atoi(i)
	if err != nil {
		return "", err
	}
	bound := c.header() + string(c.binding)
	if c.bindAs != "" {
		bound = c.bindAs
	}
	unproved := "c=" + base64.StdEncoding.EncodeToString([]byte(bound)) + ",r=" + r
	if c.final != nil {
		unproved = c.final(unproved)
	}
	salted, err := pbkdf2.Key(c.hash.new, c.password, salt, iterations, c.hash.size())
	if err != nil {
		return "", err
	}
	clientKey := hmac.New(c.hash.new, salted)
	clientKey.Write([]byte("Client Key"))
	key := clientKey.Sum(nil)
	signature := c.hash.mac(c.hash.sum(key), []byte(bare+","+challenge+","+unproved))
	subtle.XORBytes(signature, signature, key)
	if c.proof != nil {
		signature = c.proof(signature)
	}
	return fmt.Sprintf("%s,p=%s", unproved, base64.StdEncoding.EncodeToString(signature)), nil
}

func attribute(msg, name string) string {
	for _, a := range strings.Split(msg, ",") {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return ""
}

// try logs in with SCRAM-SHA-256 and returns the condition, "" for success.
func try(t testing.TB, a *Auth, ch Channel, name, password string) string {
	t.Helper()
	c := &scramClient{hash: SHA256, name: name, password: password}
	_, err := c.login(context.Background(), begin(t, a, "SCRAM-SHA-256", ch))
	return condition(t, err)
}

// tryPlain is try with PLAIN.
func tryPlain(t testing.TB, a *Auth, ch Channel, authzid, name, password string) (Account, string) {
	t.Helper()
	x := begin(t, a, "PLAIN", ch)
	_, _, err := x.Step(context.Background(), []byte(authzid+"\x00"+name+"\x00"+password))
	return x.Account(), condition(t, err)
}

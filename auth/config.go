package auth

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"time"
)

// Limits that no configuration changes.
const (
	// MaxPassword is the most bytes a password may have, before and after preparation.
	// RFC 4616 §2 asks for at least 255.
	MaxPassword = 1023
	// MaxMessage is the most bytes of one SASL message from a client, after base64.
	// Three names of the largest size and a nonce fit.
	MaxMessage = 8192
	// MaxNonce is the most bytes of a client's SCRAM nonce.
	MaxNonce = 512
)

// Config is what an operator may choose about accounts and logins. The zero value is a
// good choice: each field says what it means then.
type Config struct {
	// Iterations of PBKDF2 for new passwords. Default 10,000, at least 4,096
	// (RFC 5802 §5.1, RFC 7677 §4). The client pays for it, not the server.
	Iterations int
	// Plain announces PLAIN over TLS. Default off: who offers it invites downgrades
	// (RFC 6120 §13.8.3, XEP-0388 §3).
	Plain bool
	// NoChannelBinding offers no -PLUS mechanisms, for the sake of clients that choose
	// them and cannot do them, such as those behind a TLS proxy. Default off: channel binding finds out who listens in
	// with a certificate of their own.
	NoChannelBinding bool
	// NoDowngradeHash leaves the hash of XEP-0474 §6.1 and the version of TLS (XEP-0515 §4.1) out
	// of SCRAM challenges. Default: they are sent.
	NoDowngradeHash bool

	// Hashers is how many password hashes (PBKDF2) run at once. Default GOMAXPROCS-1,
	// at least one, so that they never take the whole machine.
	Hashers int
	// HashQueue is how many logins may wait for a hasher; who comes then gets
	// temporary-auth-failure. Default 64.
	HashQueue int
	// HashWait is how long one waits at most. Default 5 s.
	HashWait time.Duration

	// Throttle limits guessing.
	Throttle Throttle

	// LoginEvery is the resolution of Account.LastLogin: it is written anew only when it
	// is older than this. Default 1 h.
	LoginEvery time.Duration

	// Devices says what is kept of clients, and how long tokens are good. It may be changed
	// later: Accounts.SetDevices.
	Devices DevicePolicy

	Log *slog.Logger     // default: silent
	Now func() time.Time // default: time.Now
	// Rand gives nonces and salts. Default: the operating system's generator. For tests.
	Rand io.Reader
	// Sleep waits before an answer that is slowed down, and ends early with ctx.Err().
	// Default: a timer. For tests.
	Sleep Sleeper
}

// Throttle says how failed logins slow down further ones. Scores count failures and
// fall with time. See lockout.go for what they mean.
type Throttle struct {
	// AddressFree failures of one address (IPv6: one /64) cost nothing. Default 5.
	AddressFree int
	// AddressLimit is the score from which an address is refused, except for accounts
	// that have logged in from it before. Default 20.
	AddressLimit int
	// AddressForgive takes one failure off an address's score. Default 30 s.
	AddressForgive time.Duration
	// AccountFree failures for one account name cost nothing. Default 10.
	AccountFree int
	// AccountForgive takes one failure off an account's score. Default 1 min.
	AccountForgive time.Duration
	// Delay is the first wait after the free failures; each further failure doubles it,
	// up to MaxDelay. Defaults 250 ms and 4 s.
	Delay, MaxDelay time.Duration
	// Entries is how many addresses, account names and known pairs of both are
	// remembered, each. The least recently used is forgotten. Default 16,384.
	Entries int
	// Exempt addresses are never slowed down or refused by address: a proxy that cannot
	// tell us the client's. Default none.
	Exempt []netip.Prefix
}

func (c Config) withDefaults() Config {
	def(&c.Iterations, 10000)
	c.Iterations = max(c.Iterations, minIterations)
	def(&c.Hashers, max(1, runtime.GOMAXPROCS(0)-1))
	def(&c.HashQueue, 64)
	def(&c.HashWait, 5*time.Second)
	def(&c.LoginEvery, time.Hour)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	c.Throttle = c.Throttle.withDefaults()
	return c
}

func (t Throttle) withDefaults() Throttle {
	def(&t.AddressFree, 5)
	def(&t.AddressLimit, 20)
	def(&t.AddressForgive, 30*time.Second)
	def(&t.AccountFree, 10)
	def(&t.AccountForgive, time.Minute)
	def(&t.Delay, 250*time.Millisecond)
	def(&t.MaxDelay, 4*time.Second)
	def(&t.Entries, 16384)
	return t
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

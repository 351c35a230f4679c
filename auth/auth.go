package auth

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// Auth decides who may log in. Its methods may be called from many goroutines at once.
type Auth struct {
	cfg      Config
	accounts *Accounts
	lockout  *lockout
	inventor inventor // of credentials for accounts that do not exist
	keeper   keeper   // of tokens
	nonce    func() (string, error)

	succeeded, failed atomic.Uint64
	proofs            atomic.Uint64
	returned, issued  atomic.Uint64 // logins with tokens, and tokens given out
}

// New makes an Auth over a store that was opened with Schema. The error is the store's.
func New(ctx context.Context, store *storage.Store, cfg Config) (*Auth, error) {
	cfg = cfg.withDefaults()
	a := &Auth{
		cfg:      cfg,
		accounts: NewAccounts(store, cfg),
		lockout:  newLockout(cfg.Throttle, cfg.Now),
		nonce:    func() (string, error) { return newNonce(cfg.Rand) },
	}
	used, err := a.accounts.iterationsInUse(ctx)
	if err != nil {
		return nil, err
	}
	a.inventor = inventor{store.Secret("auth: unknown accounts"), cfg.Iterations, used}
	a.keeper = keeper{store.Secret("auth: client tokens")}
	return a, a.accounts.countLacking(ctx)
}

// Accounts returns the accounts that it lets in.
func (a *Auth) Accounts() *Accounts { return a.accounts }

// A Channel is the connection a login comes over.
type Channel struct {
	// TLS: the connection is confidential. Without it nothing is offered, unless the
	// operator allows logins in clear, on a machine of its own say: then SCRAM is.
	TLS, Clear bool
	// Version of TLS, as the handshake writes it: 0x0304. SCRAM tells the client of it, so that
	// nobody in between can use another one with us (XEP-0515 §4.1). Zero: unknown.
	Version uint16
	// Exporter is the channel binding tls-exporter (RFC 9266 §2), EndPoint is
	// tls-server-end-point (RFC 5929 §4.1), Unique is tls-unique (RFC 5929 §3.1) of a TLS
	// 1.2 connection with the extended master secret; nil where there is none.
	Exporter, EndPoint, Unique []byte
	// Finished is what OpenSSL takes for tls-unique under TLS 1.3. It is accepted from
	// clients that know nothing better, and not announced.
	Finished []byte
	// Peer is the client's address, for the brake on guessing; the zero Addr is nobody's.
	Peer netip.Addr
	// Certs is the chain of the client's certificate, its own first, verified up to an
	// authority that the operator has configured; else nil. See Certs.Handshake.
	Certs []*x509.Certificate
	// Host is the domain that the client wants to log in to, as xmpp.JID.Domain writes it.
	Host string
}

// The channel bindings that we know (XEP-0440 §2), the stronger first.
const (
	TLSExporter       = "tls-exporter"         // RFC 9266
	TLSServerEndPoint = "tls-server-end-point" // RFC 5929 §4
	TLSUnique         = "tls-unique"           // RFC 5929 §3; all that older clients know (RFC 5802 §6.1)
)

// binding returns the data of a binding type, or nil.
func (ch Channel) binding(name string) []byte {
	switch {
	case !ch.TLS:
		return nil
	case name == TLSExporter:
		return ch.Exporter
	case name == TLSServerEndPoint:
		return ch.EndPoint
	case name == TLSUnique && len(ch.Unique) == 0:
		return ch.Finished
	case name == TLSUnique:
		return ch.Unique
	}
	return nil
}

// Bindings returns the channel binding types that the door must announce beside the
// mechanisms, all of them or, where the list is empty, no element at all (XEP-0440 §2).
func (a *Auth) Bindings(ch Channel) []string {
	var list []string
	if a.cfg.NoChannelBinding {
		return nil
	}
	for _, name := range []string{TLSExporter, TLSServerEndPoint, TLSUnique} {
		if len(ch.binding(name)) > 0 && (name != TLSUnique || len(ch.Unique) > 0) {
			list = append(list, name)
		}
	}
	return list
}

const (
	external = "EXTERNAL"
	plain    = "PLAIN"
	scram    = "SCRAM-"
	plus     = "-PLUS"
)

// Mechanisms returns what to announce, in order of preference. In clear there is nothing
// (RFC 6120 §6.3.4). EXTERNAL comes first and only where the client has shown a
// certificate that names an address of the host (RFC 6120 §6.3.4).
func (a *Auth) Mechanisms(ch Channel) []string {
	if !ch.TLS && !ch.Clear {
		return nil
	}
	list := make([]string, 0, 8)
	if len(certified(ch)) > 0 {
		list = append(list, external)
	}
	if len(a.Bindings(ch)) > 0 {
		for _, h := range hashes() {
			list = append(list, scram+string(h)+plus)
		}
	}
	for _, h := range hashes() {
		list = append(list, scram+string(h))
	}
	if a.cfg.Plain && ch.TLS {
		list = append(list, plain)
	}
	return list
}

// Start begins a login with one of the mechanisms that the door has announced. offered is
// that announcement, in any order, for the SASL profile that the client uses: it decides
// which mechanisms may be used, whether the client was robbed of channel binding
// (RFC 5802 §6), and the hash of XEP-0474 §6.1. The error is a *Failure.
func (a *Auth) Start(ctx context.Context, mechanism string, ch Channel, offered []string) (*Exchange, error) {
	if !ch.TLS && (!ch.Clear || mechanism == plain) {
		return nil, &Failure{Condition: EncryptionRequired, Cause: cause("a login in clear")}
	}
	if !slices.Contains(offered, mechanism) || !slices.Contains(a.Mechanisms(ch), mechanism) {
		return nil, &Failure{Condition: InvalidMechanism, Cause: cause("a mechanism that was not offered")}
	}
	x := &Exchange{a: a, ch: ch, mechanism: mechanism}
	switch mechanism {
	case external:
		x.next = x.external
	case plain:
		x.next = x.plain
	default:
		hash, isPlus := strings.CutSuffix(strings.TrimPrefix(mechanism, scram), plus)
		s := &scramServer{x: x, hash: Hash(hash), plus: isPlus, offered: offered}
		x.next = s.first
	}
	if err := ctx.Err(); err != nil {
		return nil, ourFault(err)
	}
	return x, nil
}

// Allow says what an address has to expect: how long an answer waits, or, with false, how
// long logins are refused, except those of accounts known there. So a door that sends
// people away by it should do that only with those who have no connection yet.
func (a *Auth) Allow(addr netip.Addr) (wait time.Duration, ok bool) { return a.lockout.address(addr) }

// Stats counts since the start of the process.
type Stats struct {
	Succeeded, Failed uint64 // logins
	Refused, Delayed  uint64 // verdicts of the brake on guessing
	Lookups           uint64 // of accounts with their credentials
	Proofs            uint64 // SCRAM proofs checked, for accounts that exist or not
	Tokens            uint64 // logins with a token
	Issued            uint64 // tokens given out
	Hashed            uint64 // turns of PBKDF2 for PLAIN and new passwords
	HashRefused       uint64 // those that got no turn
}

// Stats returns the counters.
func (a *Auth) Stats() Stats {
	return Stats{
		Succeeded: a.succeeded.Load(), Failed: a.failed.Load(),
		Refused: a.lockout.refused.Load(), Delayed: a.lockout.delayed.Load(),
		Lookups: a.accounts.lookups.Load(), Proofs: a.proofs.Load(), Tokens: a.returned.Load(), Issued: a.issued.Load(),
		Hashed: a.accounts.gate.runs.Load(), HashRefused: a.accounts.gate.turned.Load(),
	}
}

// authorised reports whether authzid may be used by jid: it is absent or the account's
// own bare address (RFC 6120 §6.3.8). Nobody acts for anybody else.
func authorised(authzid string, jid xmpp.JID) bool {
	if authzid == "" {
		return true
	}
	z, err := xmpp.ParseJID(authzid)
	return err == nil && z == jid
}

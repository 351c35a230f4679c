package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// nonceSize is what we add to the client's nonce: 192 bits, in bytes.
const nonceSize = 24

// scramServer is the server's side of SCRAM (RFC 5802, RFC 7677) in two steps.
type scramServer struct {
	x       *Exchange
	hash    Hash
	plus    bool
	offered []string

	message   clientFirst
	challenge string // the server-first-message
	nonce     string
	keys      Credential
	account   Account // zero: keys are invented
}

// first answers the client-first-message with salt and iterations.
func (s *scramServer) first(ctx context.Context, in []byte) ([]byte, bool, error) {
	m, err := parseClientFirst(string(in))
	if err != nil {
		return nil, false, err
	}
	s.message = m
	if err := s.checkFlag(); err != nil {
		return nil, false, err
	}
	if err := s.x.claim(m.name, m.authzid); err != nil {
		return nil, false, err
	}
	if err := s.x.brake(ctx, false); err != nil {
		return nil, false, err
	}
	if err := s.findKeys(ctx); err != nil {
		return nil, false, err
	}
	if s.challenge, err = s.makeChallenge(); err != nil {
		return nil, false, err
	}
	s.x.next = s.final
	return []byte(s.challenge), false, nil
}

// checkFlag compares the client's view of channel binding with ours (RFC 5802 §6). A
// client that names a -PLUS mechanism and then says "n", as slixmpp 1.8.5 and later do
// under TLS 1.3, is no better and no worse off than one that does not name it: the flag
// is what it signs.
func (s *scramServer) checkFlag() error {
	switch {
	case s.plus && s.message.flag == 'y':
		return refused("-PLUS by a client that says it was not offered")
	case !s.plus && s.message.flag == 'p':
		return refused("channel binding without -PLUS")
	case s.message.flag == 'p' && len(s.x.ch.binding(s.message.binding)) == 0:
		return &Failure{Condition: NotAuthorized, Text: "unsupported-channel-binding-type", Cause: cause("a channel binding that was not announced")}
	case s.message.flag == 'y' && slices.ContainsFunc(s.offered, isPlus):
		// Somebody between us has taken the -PLUS mechanisms out of the list.
		return refused("channel binding was hidden from the client: somebody may be in between")
	}
	return nil
}

func isPlus(mechanism string) bool { return strings.HasSuffix(mechanism, plus) }

// findKeys takes the account's credential, or invents one that no proof fits.
func (s *scramServer) findKeys(ctx context.Context) error {
	acc, keys, err := s.x.a.accounts.lookUp(ctx, s.x.claimed, s.hash)
	if err != nil {
		return err
	}
	s.keys = s.x.a.inventor.credential(s.hash, s.x.claimed.String())
	if len(keys) == 1 {
		s.keys, s.account = keys[0], acc
	}
	return nil
}

func (s *scramServer) makeChallenge() (string, error) {
	ours, err := s.x.a.nonce()
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, 256)
	b = append(b, "r="...)
	b = append(b, s.message.nonce...)
	b = append(b, ours...)
	nonceEnd := len(b)
	b = append(b, ",s="...)
	b = base64.StdEncoding.AppendEncode(b, s.keys.Salt)
	b = append(b, ",i="...)
	b = strconv.AppendInt(b, int64(s.keys.Iterations), 10)
	if !s.x.a.cfg.NoDowngradeHash {
		b = append(b, ",h="...)
		b = base64.StdEncoding.AppendEncode(b, s.hash.sum(announcement(s.offered, s.x.a.Bindings(s.x.ch))))
		if v := s.x.ch.Version; v != 0 { // XEP-0515 §4.1, which needs the other one (§5)
			b = fmt.Appendf(b, ",t=%04x", v)
		}
	}
	challenge := string(b)
	s.nonce = challenge[len("r="):nonceEnd]
	return challenge, nil
}

// newNonce is what we add to a client's nonce.
func newNonce(source io.Reader) (string, error) {
	var random [nonceSize]byte
	_, err := io.ReadFull(source, random[:])
	return base64.RawStdEncoding.EncodeToString(random[:]), err
}

// announcement is the string S of XEP-0474 §6.1: what was offered, sorted by octets. A
// client that was shown something else makes another hash of it.
func announcement(mechanisms, bindings []string) []byte {
	b := []byte(strings.Join(slices.Sorted(slices.Values(mechanisms)), "\x1e"))
	if len(bindings) > 0 {
		b = append(b, 0x1f)
		b = append(b, strings.Join(slices.Sorted(slices.Values(bindings)), "\x1e")...)
	}
	return b
}

// final checks the proof and answers with ours.
func (s *scramServer) final(ctx context.Context, in []byte) ([]byte, bool, error) {
	m, err := parseClientFinal(string(in))
	if err != nil {
		return nil, false, err
	}
	// Another stream of the same address may have failed since the first step.
	if err := s.x.brake(ctx, true); err != nil {
		return nil, false, err
	}
	if err := s.checkFinal(m); err != nil {
		return nil, false, err
	}
	authMessage := []byte(s.message.bare + "," + s.challenge + "," + m.unproved)
	s.x.a.proofs.Add(1)
	right := s.keys.proves(authMessage, m.proof)
	if !right || s.account.ID == 0 {
		return nil, false, refused("wrong password or no such account")
	}
	if err := s.recheck(ctx); err != nil {
		return nil, false, err
	}
	s.x.proved = s.keys
	if err := s.x.accept(s.account); err != nil {
		return nil, false, err
	}
	out := append(make([]byte, 0, 96), "v="...)
	return base64.StdEncoding.AppendEncode(out, s.keys.signature(authMessage)), true, nil
}

// checkFinal compares nonce and channel binding with what they must be (RFC 5802 §5.1).
func (s *scramServer) checkFinal(m clientFinal) error {
	input := make([]byte, 0, 128)
	input = append(input, s.message.header...)
	if s.message.flag == 'p' {
		input = append(input, s.x.ch.binding(s.message.binding)...)
	}
	want := base64.StdEncoding.AppendEncode(make([]byte, 0, 192), input)
	if subtle.ConstantTimeCompare(want, []byte(m.binding)) != 1 {
		return refused("the channel binding differs: somebody may be in between")
	}
	if subtle.ConstantTimeCompare([]byte(s.nonce), []byte(m.nonce)) != 1 {
		return refused("the nonce differs")
	}
	return nil
}

// recheck looks again at what may have changed since the first step: the account may be
// gone or disabled, its password another.
func (s *scramServer) recheck(ctx context.Context) error {
	acc, keys, err := s.x.a.accounts.lookUp(ctx, s.x.claimed, s.hash)
	if err != nil {
		return err
	}
	if len(keys) != 1 || acc.ID != s.account.ID || subtle.ConstantTimeCompare(keys[0].StoredKey, s.keys.StoredKey) != 1 {
		return refused("the account or its password has changed meanwhile")
	}
	s.account = acc
	return nil
}

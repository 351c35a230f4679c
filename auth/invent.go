package auth

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
)

// inventor makes up the credentials of accounts that do not exist: the same ones each
// time they are asked for, so that nobody can tell them from those of an account.
type inventor struct {
	secret     []byte
	iterations int // where no account has a password yet
	used       map[Hash][]share
}

// share is how many credentials of a hash have a number of iterations: some were made
// when another one was configured, or come from another server.
type share struct{ iterations, count int }

// credential returns one that no proof fits.
func (v inventor) credential(h Hash, jid string) Credential {
	seed := hmac.New(sha512.New, v.secret)
	seed.Write([]byte(h))
	seed.Write([]byte{0})
	seed.Write([]byte(jid))
	random := seed.Sum(nil)
	seed.Write([]byte("keys"))
	keys := seed.Sum(nil)
	return Credential{
		Hash: h, Salt: random[:saltSize], Iterations: v.pick(h, binary.BigEndian.Uint32(random[saltSize:])),
		StoredKey: keys[:h.size()], ServerKey: keys[:h.size()],
	}
}

// pick chooses a number of iterations as often as accounts have it. When the shares
// change a little, the choice changes for few.
func (v inventor) pick(h Hash, random uint32) int {
	total := 0
	for _, s := range v.used[h] {
		total += s.count
	}
	at := int(uint64(random) * uint64(total) >> 32)
	for _, s := range v.used[h] {
		if at < s.count {
			return s.iterations
		}
		at -= s.count
	}
	return v.iterations
}

package storage

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// An ID names one thing that was stored: unique in the house, greater than every ID drawn
// before it. It counts microseconds since 1970, so it also says, as well as the clock
// knew, when it was drawn. The zero ID names nothing.
type ID int64

// Time returns when the ID was drawn. After a clock that jumped back it may be ahead.
func (id ID) Time() time.Time { return time.UnixMicro(int64(id)).UTC() }

// IDAt returns the first ID that can have been drawn at t or later.
func IDAt(t time.Time) ID { return ID(t.UnixMicro()) }

// ids draws them. Only the writer draws; others may look.
type ids struct {
	last   atomic.Int64
	cipher cipher.Block
	text   *base32.Encoding // RFC 4648 §6 in lower case, unpadded: 16 bytes are 26 characters
}

func newIDs(key []byte, last int64) (*ids, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	text := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	g := &ids{cipher: block, text: text}
	g.last.Store(last)
	return g, nil
}

// next is the clock, or one more than the last if the clock is not ahead of that.
func (g *ids) next(now time.Time) ID {
	id := max(now.UnixMicro(), g.last.Load()+1)
	g.last.Store(id)
	return ID(id)
}

// Opaque returns the form in which an ID is shown to others: 26 characters of a-z and 2-7
// that tell neither time nor order and cannot be guessed (XEP-0359 §6).
func (s *Store) Opaque(id ID) string {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint64(block[:], uint64(id))
	s.ids.cipher.Encrypt(block[:], block[:])
	return s.ids.text.EncodeToString(block[:])
}

// FromOpaque is the reverse of Opaque. ok is false for what this store never wrote: the
// second half of the block must come out as zeros, and there is one way to write a block.
func (s *Store) FromOpaque(text string) (id ID, ok bool) {
	block, err := s.ids.text.DecodeString(text)
	if err != nil || len(block) != aes.BlockSize || s.ids.text.EncodeToString(block) != text {
		return 0, false
	}
	s.ids.cipher.Decrypt(block, block)
	if binary.BigEndian.Uint64(block[8:]) != 0 {
		return 0, false
	}
	return ID(binary.BigEndian.Uint64(block)), true
}

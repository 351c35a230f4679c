package upload

import (
	"context"
	"time"

	"parley/storage"
)

// Info is what operators are told of a file.
type Info struct {
	ID      string     `json:"id"`
	Owner   string     `json:"owner"`
	Name    string     `json:"name"`
	Type    string     `json:"type"`
	Bytes   int64      `json:"bytes"`
	Purpose string     `json:"purpose"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"` // nil: it is kept for ever
	URL     string     `json:"url"`
}

// Usage is what one user has.
type Usage struct {
	Owner string `json:"owner"`
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"`
}

// List returns up to so many files of a user, a bare address; "" is everybody. The newest is
// first.
func (s *Service) List(ctx context.Context, owner string, most int) ([]Info, error) {
	var list []file
	err := s.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = filesOf(tx, owner, s.cfg.Now().Unix(), most)
		return err
	})
	all := make([]Info, 0, len(list))
	for _, f := range list {
		in := Info{
			ID: f.id, Owner: f.owner, Name: f.name, Type: f.typ, Bytes: f.size, Purpose: f.purpose.String(),
			Created: time.Unix(f.created, 0).UTC(), URL: s.base(f.host) + place(f.id, f.name),
		}
		if f.expires < never {
			at := time.Unix(f.expires, 0).UTC()
			in.Expires = &at
		}
		all = append(all, in)
	}
	return all, err
}

// Usage returns who has how much, who has most first.
func (s *Service) Usage(ctx context.Context, most int) (list []Usage, err error) {
	err = s.store.Read(ctx, func(tx *storage.Tx) (err error) {
		list, err = ownersOf(tx, s.cfg.Now().Unix(), most)
		return err
	})
	return list, err
}

// Delete removes files by their ids, and returns how many were there. owner is whose they are to
// be; "" is anybody's. From the commit on nobody gets them.
func (s *Service) Delete(ctx context.Context, owner string, ids ...string) (n int, err error) {
	err = s.store.Write(ctx, func(tx *storage.Tx) error {
		n = 0
		for _, id := range ids {
			was, err := removeFile(tx, id, owner)
			if err != nil {
				return err
			}
			if was {
				n++
			}
		}
		return nil
	})
	return n, s.removed(ctx, err)
}

// DeleteAll removes all files of a user, and returns how many there were.
func (s *Service) DeleteAll(ctx context.Context, owner string) (n int, err error) {
	err = s.store.Write(ctx, func(tx *storage.Tx) error {
		was, err := removeAll(tx, owner)
		n = int(was)
		return err
	})
	return n, s.removed(ctx, err)
}

// removed takes removed files off the shelf at once. What does not go now goes with the next
// tidying up.
func (s *Service) removed(ctx context.Context, err error) error {
	if err == nil && s.ready == nil {
		if err := s.clear(ctx); err != nil {
			s.log.Warn("a removed file is still on its shelf; it is tried again in an hour", "error", err)
		}
	}
	return err
}

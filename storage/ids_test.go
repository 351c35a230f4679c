package storage_test

import (
	"strings"
	"testing"
	"time"

	"parley/storage"
	"parley/storage/storagetest"
)

func TestIDsNeverGoBack(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	var last storage.ID
	for start := range 3 { // each start an hour earlier than the one before
		s, err := storage.Open(t.Context(), storage.Config{Dir: dir, Now: clock}, notes())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			err := s.Write(t.Context(), func(tx *storage.Tx) error {
				id := tx.NextID()
				if id <= last {
					t.Errorf("%d after %d", id, last)
				}
				last = id
				return tx.Exec(addNote, id, start, n, "")
			})
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(-time.Minute)
		}
		if text := s.Opaque(last); len(text) != 26 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("opaque %q", text)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(-time.Hour)
	}
}

func TestOpaqueIsItsOwnReverse(t *testing.T) {
	s, other := storagetest.Open(t), storagetest.Open(t)
	for _, id := range []storage.ID{1, 2, 1 << 40, 1<<63 - 1, storage.IDAt(time.Now())} {
		text := s.Opaque(id)
		if got, ok := s.FromOpaque(text); !ok || got != id {
			t.Errorf("%d came back as %d, %v", id, got, ok)
		}
		if other.Opaque(id) == text {
			t.Error("two stores write the same")
		}
		last := "abcdefghijklmnopqrstuvwxyz234567"[(strings.IndexByte("abcdefghijklmnopqrstuvwxyz234567", text[25])+1)%32]
		for _, bad := range []string{"", text[1:], text + "a", strings.ToUpper(text), "a" + text[1:25] + "b", text + "\n",
			text[:25] + string(last), other.Opaque(id)} {
			if got, ok := s.FromOpaque(bad); ok && bad != text {
				t.Errorf("%q was taken for %d", bad, got)
			}
		}
	}
}

func TestSecretsStay(t *testing.T) {
	dir := t.TempDir()
	var first string
	for range 2 {
		s, err := storage.Open(t.Context(), storage.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a, b := s.Secret("a"), s.Secret("b")
		if len(a) != 32 || string(a) == string(b) || first != "" && first != string(a) {
			t.Errorf("%x %x", a, b)
		}
		first = string(a)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"parley/storage"
)

const childDir = "PARLEY_STORAGE_TEST_DIR"

// writeUntilKilled is the child of TestKilled: it says each note once the store has said
// that it is kept.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := storage.Open(ctx, storage.Config{Dir: dir}, notes())
	if err != nil {
		fmt.Println("open", err)
		return
	}
	out := bufio.NewWriter(os.Stdout)
	s.OnBatch(func() { out.Flush() })
	for n := 0; ; n++ {
		if s.Wait(ctx) != nil {
			return
		}
		var id storage.ID
		s.Keep(100, func(tx *storage.Tx) error {
			id = tx.NextID()
			return tx.Exec(addNote, id, os.Getpid(), n, strings.Repeat("x", 100))
		}, func(err error) { fmt.Fprintln(out, id, os.Getpid(), n, err) })
	}
}

// TestKilled kills a process that writes, several times on the same database, and looks
// for everything that it said was kept: once, in order.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	var said []string
	for round := range 4 {
		said = append(said, runAndKill(t, dir, 500+1500*round)...)
	}
	s, err := storage.Open(t.Context(), storage.Config{Dir: dir}, notes())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	i := 0
	err = s.Read(t.Context(), func(tx *storage.Tx) error {
		return tx.Each("select id, sender, n from notes order by id", nil, func(r *storage.Row) error {
			// What was kept but not said any more may stand between.
			if i < len(said) && said[i] == fmt.Sprint(r.Int(0), r.Int(1), r.Int(2), error(nil)) {
				i++
			}
			return nil
		})
	})
	if err != nil || i < len(said) {
		t.Fatalf("%d of %d found, then %q is not there or not in order; %v", i, len(said), said[min(i, len(said)-1)], err)
	}
	t.Logf("%d notes survived four kills", len(said))
}

func runAndKill(t *testing.T, dir string, lines int) (said []string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break // killed; half a line was not said
		}
		if said = append(said, strings.TrimSpace(line)); len(said) == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait()
	if len(said) < lines {
		t.Fatalf("the child ended by itself: %q", said[max(0, len(said)-1):])
	}
	return said
}

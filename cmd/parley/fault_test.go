package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/storage"
)

const (
	// faultKills is how often TestKilledAtAnyMoment kills the server, unless FAULT_KILLS
	// says otherwise.
	faultKills = 200
	// censusEvery and integrityEvery are after how many of these the archives are read, and
	// the database is checked.
	censusEvery    = 5
	integrityEvery = 20
	// stillbornEvery is after how many of these a start is killed, too.
	stillbornEvery = 10
	// longLifeEvery is how often the server lives for long enough that what was taken has to
	// be on the disk (takenWithin).
	longLifeEvery = 12
)

// A trial is a server that is killed again and again, and those who talk by it.
type trial struct {
	*child
	book   *book
	people []*person
	rnd    *rand.Rand
	dying  atomic.Bool       // its death has been ordered
	calm   atomic.Bool       // nobody says anything for a while
	read   map[string]string // account -> up to where its archive was read
}

// TestKilledAtAnyMoment kills the server at any moment of its work: while several devices of
// two people talk, come, go, are cut off and go on. After each death they behave as good
// clients do, and in the end nothing that was acknowledged is lost, doubled or out of order.
func TestKilledAtAnyMoment(t *testing.T) {
	kills, seed := faultKills, uint64(time.Now().UnixNano())
	fromEnv(t, "FAULT_KILLS", func(n uint64) { kills = int(n) })
	fromEnv(t, "FAULT_SEED", func(n uint64) { seed = n })
	t.Logf("FAULT_SEED=%d FAULT_KILLS=%d", seed, kills)
	newTrial(t, seed).goesOn(kills)
}

// TestKilledWithoutArchives does it where nothing is archived: so what one device says and
// another one takes is mostly never written. What was acknowledged is not lost either.
func TestKilledWithoutArchives(t *testing.T) {
	kills, seed := faultKills/2, uint64(time.Now().UnixNano())
	fromEnv(t, "FAULT_KILLS", func(n uint64) { kills = int(n) })
	fromEnv(t, "FAULT_SEED", func(n uint64) { seed = n })
	t.Logf("FAULT_SEED=%d FAULT_KILLS=%d", seed, kills)
	w := newTrial(t, seed, "PARLEY_ARCHIVE_DEFAULT=never")
	w.book.unarchived = true
	w.people = []*person{w.person("romeo", "phone", manages), w.person("juliet", "phone", manages), w.person("juliet", "old", 0)}
	w.goesOn(kills)
}

// goesOn has the server live, and be killed, so many times, and judges the whole.
func (w *trial) goesOn(kills int) {
	t := w.t
	for n := 1; n <= kills && !t.Failed(); n++ {
		w.life(n)
		if n%integrityEvery == 0 {
			w.integrity()
		}
		if t.Failed() {
			break // the log and the trails are of this life
		}
		if n%stillbornEvery == 0 {
			w.stillborn()
		}
		w.start()
		w.dying.Store(false)
		if n%censusEvery == 0 {
			w.census()
		}
	}
	if t.Failed() {
		w.explain()
		return
	}
	w.settle()
	w.census()
	w.whole()
	w.kill()
	w.integrity()
	w.book.complete(kills)
	if t.Failed() {
		w.explain()
	}
}

// explain logs what there is to understand a failure by.
func (w *trial) explain() {
	w.t.Logf("the last life's log:\n%s", w.log)
	for _, p := range w.people {
		w.t.Logf("what %s last wrote and read:\n%s", p.name, p.Trail())
	}
}

func fromEnv(t *testing.T, name string, use func(uint64)) {
	if text := os.Getenv(name); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		use(n)
	}
}

func newTrial(t *testing.T, seed uint64, env ...string) *trial {
	c := startChild(t, append(env, "PARLEY_LIMITS_STRANGER_MESSAGES=0", "PARLEY_AUTH_ITERATIONS=4096", "PARLEY_LIMITS_RESOURCES=20")...)
	w := &trial{child: c, book: newBook(t), rnd: rand.New(rand.NewPCG(seed, 58)), read: map[string]string{}}
	for _, name := range []string{"romeo", "juliet"} {
		c.must("pw\n", "user", "add", name+"@localhost")
	}
	w.people = []*person{ // juliet gets what waits the old way, without any archive
		w.person("romeo", "phone", manages|binds2|copies), w.person("romeo", "desk", manages),
		w.person("juliet", "phone", manages|copies), w.person("juliet", "desk", manages), w.person("juliet", "old", 0),
	}
	return w
}

// life has everybody talk until the server is killed. Some kills come while they log in.
func (w *trial) life(n int) {
	var all sync.WaitGroup
	begun := make(chan struct{}, len(w.people))
	for _, p := range w.people {
		if len(p.Pending()) > 0 || w.rnd.IntN(5) > 0 { // who has something to say again comes back
			all.Go(func() { p.lives(begun) })
		}
	}
	if n%8 != 0 {
		select {
		case <-begun:
		case <-time.After(200 * time.Millisecond):
		}
	}
	time.Sleep(time.Duration(10+w.rnd.IntN(240)) * time.Millisecond)
	if n%longLifeEvery == 0 {
		w.calm.Store(true)
		time.Sleep(takenWithin + 100*time.Millisecond)
		w.calm.Store(false)
		time.Sleep(50 * time.Millisecond)
	}
	w.dying.Store(true)
	w.book.dies(time.Now())
	w.cmd.Process.Signal(syscall.SIGKILL)
	all.Wait()
	w.wait(10 * time.Second)
}

// stillborn starts the server and kills it before it may be through with that.
func (w *trial) stillborn() {
	cmd := w.command("serve")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Duration(w.rnd.IntN(60)) * time.Millisecond)
	cmd.Process.Kill()
	cmd.Wait() // it says that it was killed
}

// settle has everybody come a last time and say what is left to say, until nothing is under
// way any more.
func (w *trial) settle() {
	for _, p := range w.people {
		if err := p.enter(); err != nil {
			w.t.Fatalf("%s cannot come back: %v\n%s", p.name, err, w.log)
		}
	}
	for range 3 {
		for _, p := range w.people {
			if err := p.Sync(); err != nil {
				w.t.Fatalf("%s: %v\n%s", p.name, err, w.log)
			}
		}
	}
	for _, p := range w.people {
		if left := p.Pending(); len(left) > 0 {
			w.t.Errorf("%s: %v are not acknowledged in the end", p.name, left)
		}
		if err := p.Leave(); err != nil {
			w.t.Errorf("%s: %v", p.name, err)
		}
	}
}

// census reads what is new in both archives, while nobody is there, and looks for what was
// acknowledged.
func (w *trial) census() {
	for _, user := range []string{"romeo", "juliet"} {
		w.read[user] = w.audit(user, w.read[user], w.book.archived)
	}
	w.book.census()
}

// whole reads both archives from their beginning: they are what they were when they were
// read in parts.
func (w *trial) whole() {
	for _, user := range []string{"romeo", "juliet"} {
		n := 0
		w.audit(user, "", func(user string, h entry) {
			if all := w.book.archives[user]; n >= len(all) || all[n] != h {
				w.t.Errorf("%s's archive has %v at %d, which was not there before", user, h, n)
			}
			n++
		})
		if all := w.book.archives[user]; n != len(all) {
			w.t.Errorf("%s's archive has %d messages in the end, and had %d", user, n, len(all))
		}
	}
}

// integrity checks a copy of what the server has left on the disk, which it finds itself as
// it was.
func (w *trial) integrity() {
	w.t.Helper()
	checkCopy(w.t, filepath.Join(w.dir, w.data))
}

// checkCopy checks the database of a server that does not run: the engine's own check of the
// whole file.
func checkCopy(t *testing.T, data string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"parley.db", "parley.db-wal"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(data, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	s, err := storage.Open(t.Context(), storage.Config{Dir: dir})
	if err != nil {
		t.Fatalf("the database cannot be opened: %v", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("the database does not hold together: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	os.RemoveAll(dir)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// String names a message in an archive.
func (e entry) String() string { return fmt.Sprintf("%s (%s)", e.id, e.archived) }

package mam

import (
	"errors"
	"sync"
	"time"

	"parley/router"
	"parley/storage"
)

// flushEvery is how long it may take until it is on disk that messages were taken. After a
// crash they come again, under the same ids.
const flushEvery = 500 * time.Millisecond

// A flusher knows which trays are to be written.
type flusher struct {
	flush func([]soiled)

	mu    sync.Mutex // a leaf
	list  []soiled
	timer *time.Timer
	over  bool
}

// soiled is a tray that is to be written. Its account is held in memory until it is.
type soiled struct {
	account *router.Account
	tray    *tray
}

// mark has a tray written soon.
func (l *flusher) mark(a *router.Account, t *tray) {
	if !t.soil() {
		return
	}
	a.Hold()
	l.mu.Lock()
	l.list = append(l.list, soiled{a, t})
	if l.timer == nil && !l.over {
		l.timer = time.AfterFunc(flushEvery, l.run)
	}
	l.mu.Unlock()
}

func (l *flusher) run() {
	l.mu.Lock()
	list := l.list
	l.list, l.timer = nil, nil
	l.mu.Unlock()
	for len(list) > 0 { // each is written with others, and keeps others waiting for a moment only
		n := min(len(list), marksAtOnce)
		l.flush(list[:n])
		list = list[n:]
	}
}

// marksAtOnce is how many trays are written in one turn of the store's writer.
const marksAtOnce = 100

// stop writes what is to be written now, before the store is closed.
func (l *flusher) stop() {
	l.mu.Lock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.run()
}

// flush puts marks into the store's line.
func (f *feature) flush(list []soiled) {
	marks := make([]mark, len(list))
	size := 0
	for i, s := range list {
		marks[i] = s.tray.mark()
		size += len(marks[i].missed) + 64
	}
	f.store.Keep(size, func(tx *storage.Tx) error {
		for i, m := range marks {
			if list[i].account.Removed() {
				continue
			}
			if err := writeMark(tx, m); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) {
		for i, s := range list {
			if err != nil {
				s.tray.unwritten(marks[i])
				if !errors.Is(err, storage.ErrClosed) {
					f.late.mark(s.account, s.tray)
				}
			}
			s.account.Release()
		}
		if err != nil && !errors.Is(err, storage.ErrClosed) {
			f.log.Warn("that messages were taken could not be written; it is tried again", "accounts", len(list), "error", err)
		}
	})
}

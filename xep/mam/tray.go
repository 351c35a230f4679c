package mam

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"parley/storage"
)

// A tray is what waits for one account: messages that no device of it has taken. It stands
// in memory while the account is in use. On disk is up to where all was taken, and what was
// not of that; it follows a little later.
type tray struct {
	owner int64

	mu       sync.Mutex   // a leaf
	list     []pending    // in the order of their ids
	bytes    int64        // that they have
	reserved int          // messages on their way into the list
	ahead    int64        // their bytes
	past     storage.ID   // the highest id of the account's that does not wait
	sends    int          // outgoing rows since it was last written
	gone     []storage.ID // hidden rows that were taken: to be deleted
	dirty    bool         // to be written
}

// pending is a message that waits.
type pending struct {
	id     storage.ID
	size   int32
	hidden bool // not in the archive
}

// reserve notes that a message is about to be added. Where nobody is there for it, limits
// count.
func (t *tray) reserve(size int, limited bool, lim Limits) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if limited && (int64(len(t.list)+t.reserved) >= orDefault(lim.Messages, 5000) ||
		t.bytes+t.ahead+int64(size) > orDefault(lim.Bytes, 2<<20)) {
		return false
	}
	t.reserved++
	t.ahead += int64(size)
	return true
}

func orDefault(n, otherwise int64) int64 {
	if n <= 0 {
		return otherwise
	}
	return n
}

func (t *tray) unreserve(size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserved--
	t.ahead -= int64(size)
}

// add has a message wait. It is committed.
func (t *tray) add(p pending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, p)
	t.bytes += int64(p.size)
}

// sendsAtMost is how many rows of what an account sends may follow its mark: so many are
// read in vain when it comes into use.
const sendsAtMost = 256

// sent notes a row that does not wait, and reports whether the mark is to be written.
func (t *tray) sent(id storage.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past = max(t.past, id)
	t.sends++
	return t.sends%sendsAtMost == 0
}

// find returns where an id is in the list. The lock is held.
func (t *tray) find(id storage.ID) (int, bool) {
	return slices.BinarySearchFunc(t.list, id, func(p pending, id storage.ID) int {
		switch {
		case p.id < id:
			return -1
		case p.id > id:
			return 1
		}
		return 0
	})
}

// take takes out what a device has, and reports whether anything was there.
func (t *tray) take(ids []storage.ID) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if i, ok := t.find(id); ok {
			t.remove(i)
			changed = true
		}
	}
	return changed
}

// remove takes out one message. The lock is held.
func (t *tray) remove(i int) {
	p := t.list[i]
	if p.hidden {
		t.gone = append(t.gone, p.id)
	}
	t.bytes -= int64(p.size)
	t.past = max(t.past, p.id)
	if i == 0 && len(t.list) > 1 {
		t.list = t.list[1:] // what is taken is mostly the oldest
		return
	}
	if t.list = slices.Delete(t.list, i, i+1); len(t.list) == 0 {
		t.list = nil
	}
}

// takeIf takes out all that ok says, and reports whether anything was there.
func (t *tray) takeIf(ok func(pending) bool) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := 0; i < len(t.list); {
		if ok(t.list[i]) {
			t.remove(i)
			changed = true
			continue
		}
		i++
	}
	return changed
}

// drop takes out a message whose row is deleted.
func (t *tray) drop(id storage.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.find(id); ok {
		t.bytes -= int64(t.list[i].size)
		t.list = slices.Delete(t.list, i, i+1)
	}
}

// waits reports whether a message waits.
func (t *tray) waits(id storage.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.find(id)
	return ok
}

// oldest returns the first id that waits; the highest there is where none does.
func (t *tray) oldest() storage.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.list) == 0 {
		return math.MaxInt64
	}
	return t.list[0].id
}

// highest returns the highest id of the account's that is known.
func (t *tray) highest() storage.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.list); n > 0 {
		return max(t.past, t.list[n-1].id)
	}
	return t.past
}

// number returns how many messages wait.
func (t *tray) number() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.list)
}

// after returns up to n ids that wait, behind an id.
func (t *tray) after(id storage.ID, n int) (ids []storage.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, _ := t.find(id + 1)
	for ; i < len(t.list) && len(ids) < n; i++ {
		ids = append(ids, t.list[i].id)
	}
	return ids
}

// A mark is a tray as it is written.
type mark struct {
	owner  int64
	upto   storage.ID
	missed []byte
	gone   []storage.ID
}

// mark returns what is to be written; it is not dirty any more.
func (t *tray) mark() mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := mark{owner: t.owner, upto: t.past, gone: t.gone}
	last := storage.ID(0)
	for _, p := range t.list {
		if p.id > t.past {
			break
		}
		m.missed = binary.AppendUvarint(m.missed, uint64(p.id-last))
		last = p.id
	}
	t.gone, t.dirty, t.sends = nil, false, 0
	return m
}

// unwritten takes back mark, where it could not be written.
func (t *tray) unwritten(m mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = append(m.gone, t.gone...)
}

// soil notes that the tray is to be written, and reports whether that is new.
func (t *tray) soil() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.dirty
	t.dirty = true
	return !was
}

// readTray reads what waits for an account, except what is older than an id.
func readTray(tx *storage.Tx, owner int64, before storage.ID) (*tray, error) {
	upto, missed, err := readMark(tx, owner)
	if err != nil {
		return nil, err
	}
	t := &tray{owner: owner, past: upto}
	last := storage.ID(0)
	for len(missed) > 0 {
		d, n := binary.Uvarint(missed)
		if n <= 0 {
			return nil, errMark
		}
		missed, last = missed[n:], last+storage.ID(d)
		p, found, err := waiting(tx, owner, last)
		if err != nil {
			return nil, err
		}
		if found && p.id >= before {
			t.add(p)
		}
	}
	return t, behind(tx, owner, upto, func(p pending, in bool) {
		if in && p.id >= before {
			t.add(p)
		} else {
			t.past = max(t.past, p.id)
		}
	})
}

package muc

import (
	"sync"
	"sync/atomic"

	"parley/xmpp"
)

// A watcher is a session that has asked one of the domains of rooms to be told where something is
// said while it is not there.
type watcher struct {
	full   xmpp.JID
	domain string
}

// watchers are all of them.
type watchers struct {
	mu    sync.Mutex                    // a leaf
	of    map[xmpp.JID][]watcher        // by bare address
	awake map[watcher]map[xmpp.JID]bool // the rooms whose next message each is to be told of
	armed map[xmpp.JID]map[watcher]bool // the same, by room
	rooms atomic.Int64                  // len(armed)
}

func (w *watchers) init() {
	w.of, w.awake, w.armed = map[xmpp.JID][]watcher{}, map[watcher]map[xmpp.JID]bool{}, map[xmpp.JID]map[watcher]bool{}
}

// begin notes a watcher. fresh is false where it was one already, ok where there is no place for
// it.
func (w *watchers) begin(who watcher, most, each int) (fresh, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	bare := who.full.Bare()
	switch {
	case w.awake[who] != nil:
		return false, true
	case len(w.awake) >= most || len(w.of[bare]) >= each:
		return false, false
	}
	w.awake[who] = map[xmpp.JID]bool{}
	w.of[bare] = append(w.of[bare], who)
	return true, true
}

// end forgets the sessions of one address that gone says so of.
func (w *watchers) end(bare xmpp.JID, gone func(watcher) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(bare, gone)
}

// lose is end for those of a domain that cannot be reached.
func (w *watchers) lose(local, remote string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for bare := range w.of {
		if bare.Domain() == remote {
			w.forget(bare, func(who watcher) bool { return who.domain == local })
		}
	}
}

// forget is end; the lock is held.
func (w *watchers) forget(bare xmpp.JID, gone func(watcher) bool) {
	var stay []watcher
	for _, who := range w.of[bare] {
		if !gone(who) {
			stay = append(stay, who)
			continue
		}
		for room := range w.awake[who] {
			w.release(room, who)
		}
		delete(w.awake, who)
	}
	if w.of[bare] = stay; len(stay) == 0 {
		delete(w.of, bare)
	}
}

// release takes a watcher off a room. The lock is held.
func (w *watchers) release(room xmpp.JID, who watcher) {
	delete(w.awake[who], room)
	delete(w.armed[room], who)
	if len(w.armed[room]) == 0 {
		delete(w.armed, room)
	}
	w.rooms.Store(int64(len(w.armed)))
}

// arm has a watcher be told of the next message in a room, if it is one, and has fewer than most.
func (w *watchers) arm(room, full xmpp.JID, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := watcher{full, room.Domain()}
	rooms, there := w.awake[who]
	if !there || len(rooms) >= most {
		return
	}
	if w.armed[room] == nil {
		w.armed[room] = map[watcher]bool{}
	}
	rooms[room], w.armed[room][who] = true, true
	w.rooms.Store(int64(len(w.armed)))
}

// disarm is the reverse; it reports whether the watcher was to be told.
func (w *watchers) disarm(room, full xmpp.JID) bool {
	if w.rooms.Load() == 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	who := watcher{full, room.Domain()}
	was := w.armed[room][who]
	if was {
		w.release(room, who)
	}
	return was
}

// take returns who is to be told of a message in a room: each once.
func (w *watchers) take(room xmpp.JID) (list []xmpp.JID) {
	if w.rooms.Load() == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for who := range w.armed[room] {
		list = append(list, who.full)
		delete(w.awake[who], room)
	}
	delete(w.armed, room)
	w.rooms.Store(int64(len(w.armed)))
	return list
}

// sessions returns the watchers of one address at a domain.
func (w *watchers) sessions(bare xmpp.JID, domain string) (list []xmpp.JID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, who := range w.of[bare] {
		if who.domain == domain {
			list = append(list, who.full)
		}
	}
	return list
}

// domains returns the domains that a session has asked.
func (w *watchers) domains(full xmpp.JID) (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, who := range w.of[full.Bare()] {
		if who.full == full {
			list = append(list, who.domain)
		}
	}
	return list
}

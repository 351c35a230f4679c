package router_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/roster"
	"parley/router"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xep/ping"
	"parley/xmpp"
)

// TestComingAndGoing has many write to somebody who logs in and out all the time: nothing
// is lost, refused or out of order, and only what was given out and never acknowledged
// comes again, whatever the disk does.
func TestComingAndGoing(t *testing.T) {
	t.Run("one at a time", func(t *testing.T) { comeAndGo(t, 8, 60, 0) })
	t.Run("failing commits", func(t *testing.T) { comeAndGo(t, 8, 40, 9) })
}

func comeAndGo(t *testing.T, senders, most, fullEvery int) {
	h := routertest.New(t, roster.New(),
		mam.New(func() mam.Limits { return mam.Limits{Messages: 1 << 30, Bytes: 1 << 40} }), ping.New())
	h.Disk.FullEvery(fullEvery)
	j := &juliet{t: t, h: h, jid: jid(t, "juliet@example.com/balcony"), rnd: rand.New(rand.NewPCG(3, 4)),
		live: map[string]bool{}, sure: map[string]bool{}, seen: map[string]bool{}, last: map[string]int{}}
	h.Exists(j.jid.Bare())
	all := make([]*romeo, senders)
	var wg sync.WaitGroup
	stop := make(chan struct{}, 1)
	for i := range all {
		full := jid(t, fmt.Sprintf("romeo%d@example.com/x", i))
		h.Exists(full.Bare())
		r := &romeo{name: fmt.Sprint("s", i), peer: available(t, h, full)}
		all[i] = r
		r.peer.Session.Tap(func(st *xmpp.Stanza) {
			if st.Kind == xmpp.Message {
				j.done.Add(1)
				r.back.add(st.ID)
			}
		})
		wg.Go(func() { r.speak(t, stop, j) })
	}
	lives := 0
	enough := func() bool { // a slow machine needs longer
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.live) >= 20 && len(j.sure) >= 20
	}
	for began := time.Now(); lives < most && (lives < 12 || time.Since(began) < 4*time.Second) || !enough() && time.Since(began) < 3*time.Minute; lives++ {
		j.live1(false)
	}
	stop <- struct{}{}
	wg.Wait()
	j.live1(true)
	h.Disk.FullEvery(0)
	j.live1(true) // what was due while nothing could be written
	bounced := 0
	for _, r := range all {
		bounced += len(r.back.ids)
		for n := range r.sent {
			id := fmt.Sprintf("%s-%d", r.name, n)
			if j.seen[id] == r.back.has(id) {
				t.Errorf("%s: seen %v, bounced %v", id, j.seen[id], r.back.has(id))
			}
		}
		r.peer.Sender.Leave("")
	}
	if fullEvery == 0 && bounced > 0 {
		t.Errorf("%d messages were refused", bounced)
	}
	t.Logf("%d sessions, %d seen at once, %d confirmed, %d bounced", lives, len(j.live), len(j.sure), bounced)
	if lives < 10 || len(j.live) < 20 || len(j.sure) < 20 {
		t.Errorf("too little happened to prove anything")
	}
}

type romeo struct {
	name string
	peer *routertest.Peer
	sent int
	back heard
}

// speak writes until it is to stop, and no faster than can be read.
func (r *romeo) speak(t *testing.T, stop chan struct{}, j *juliet) {
	var rd router.Round
	for i := 0; ; i++ {
		if len(stop) > 0 {
			r.peer.Sender.Settle(&rd)
			rd.Flush()
			r.sent = i
			return
		}
		body := fmt.Sprintf(`<message type='chat' id='%s-%d' to='juliet@example.com'><body>x</body></message>`, r.name, i)
		mustSend(t, r.peer, &rd, body)
		if i%16 == 15 {
			mustSend(t, r.peer, &rd, `<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`)
			rd.Flush()
			time.Sleep(time.Duration(i%7) * 300 * time.Microsecond)
			j.said.Add(16)
			for j.said.Load()-j.done.Load() > 500 && len(stop) == 0 { // no faster than she acknowledges
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// juliet is somebody with one session after the other.
type juliet struct {
	t   *testing.T
	h   *routertest.House
	jid xmpp.JID
	rnd *rand.Rand

	said, done atomic.Int64 // messages sent to her, and those that she has acknowledged or that came back

	mu   sync.Mutex
	live map[string]bool // got as they came
	sure map[string]bool // acknowledged
	seen map[string]bool
	last map[string]int // the greatest number seen of each sender
}

// live1 is one session. A patient one answers every ping and leaves when all is confirmed.
func (j *juliet) live1(patient bool) {
	p, err := j.h.Bind(j.jid)
	if err != nil {
		j.t.Fatal(err)
	}
	p.Session.Silent()
	var here []string
	lastHere := map[string]int{}
	p.Session.Tap(func(st *xmpp.Stanza) {
		if st.Kind == xmpp.Message {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.hear(st, lastHere)
			here = append(here, st.ID)
		}
	})
	var rd router.Round
	mustSend(j.t, p, &rd, "<presence/>")
	stay := time.After(time.Duration(j.rnd.IntN(4000)) * time.Microsecond)
	answers := patient || j.rnd.IntN(3) > 0
	for stays := true; stays; {
		select {
		case <-time.After(300 * time.Microsecond):
			if answers {
				j.mu.Lock()
				sure := here[:len(here):len(here)]
				j.mu.Unlock()
				p.Session.Acknowledge()
				j.mu.Lock()
				for _, id := range sure {
					if !j.sure[id] {
						j.done.Add(1)
					}
					j.sure[id] = true
				}
				j.mu.Unlock()
			}
		case <-stay:
			stays = false
		}
	}
	if !patient && j.rnd.IntN(2) == 0 {
		p.Session.Close() // the connection is lost before the house knows
		time.Sleep(200 * time.Microsecond)
	}
	rd.Flush()
	p.Sender.Leave("")
}

// hear notes a message. The lock is held.
func (j *juliet) hear(st *xmpp.Stanza, lastHere map[string]int) {
	id := st.ID
	name, n := split(id)
	if before, ok := lastHere[name]; ok && n <= before {
		j.t.Errorf("%s comes behind number %d in one session", id, before)
	}
	lastHere[name] = n
	if j.sure[id] {
		j.t.Errorf("%s comes again", id)
	}
	if !j.seen[id] {
		if before, ok := j.last[name]; ok && n < before {
			j.t.Errorf("%s comes for the first time behind number %d", id, before)
		}
		j.last[name], j.seen[id] = n, true
	}
	if !st.Has(xmpp.NSDelay, "delay") {
		j.live[id] = true
	}
}

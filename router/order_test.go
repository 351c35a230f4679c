package router_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/storage/storagetest"
	"parley/xep/ping"
	"parley/xmpp"
)

// archive is a feature of the test that keeps the messages that say so, and remembers
// under which id.
type archive struct {
	store *storage.Store
}

const archiveSchema = `create table archived (id integer primary key, message text not null, pad text not null)`

func (f *archive) feature() router.Feature {
	return router.Feature{
		Name:   "archive",
		Schema: storage.Schema{Name: "archive", Steps: []string{archiveSchema}},
		Start:  func(h router.Hall) { f.store = h.Store },
		Arrived: router.Hooks{Keep: func(p *router.Passage) *xmpp.Error {
			if !p.Stanza.Has("test", "keep") {
				return nil
			}
			message := p.Stanza.ID
			p.Keep(routertest.Keeping(func(tx *storage.Tx, id storage.ID) error {
				if p.Stanza.Has("test", "fail") {
					return fmt.Errorf("as it was told")
				}
				return tx.Exec(`insert into archived (id, message, pad) values ($1, $2, $3)`, int64(id), message, pad)
			}))
			return nil
		}},
	}
}

var pad = fmt.Sprintf("%0600d", 0)

// rows returns what is on disk: ids by message.
func (f *archive) rows(t *testing.T) map[string]int64 {
	rows := map[string]int64{}
	err := f.store.Read(context.Background(), func(tx *storage.Tx) error {
		return tx.Each(`select id, message from archived`, nil, func(r *storage.Row) error {
			if _, twice := rows[r.Text(1)]; twice {
				t.Errorf("%s is kept twice", r.Text(1))
			}
			rows[r.Text(1)] = r.Int(0)
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	return rows
}

// heard is what one device or sender was pushed, message ids in order.
type heard struct {
	mu  sync.Mutex
	ids []string
	set map[string]int // how often
}

func (h *heard) add(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		h.set = map[string]int{}
	}
	h.ids = append(h.ids, id)
	h.set[id]++
}

func (h *heard) has(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.set[id] > 0
}

// TestEveryDeviceSeesTheArchivesOrder is the promise of the house: whatever fails, every
// device sees messages in the order of the archive, and a ping's answer acknowledges what
// was sent before it (RFC 6120 §10.1).
func TestEveryDeviceSeesTheArchivesOrder(t *testing.T) {
	const senders, recipients, messages = 16, 6, 1500
	f := &archive{}
	h := routertest.New(t, f.feature(), ping.New())
	devices := make([][2]*heard, recipients)
	var peers []*routertest.Peer
	for i := range devices {
		for d := range devices[i] {
			full := jid(t, fmt.Sprintf("to%d@example.com/%d", i, d))
			h.Exists(full.Bare())
			peer := available(t, h, full)
			peers = append(peers, peer)
			got := &heard{}
			devices[i][d] = got
			peer.Session.Tap(func(st *xmpp.Stanza) { got.add(st.ID) })
		}
	}
	spoilt := make(chan struct{})
	stop := make(chan struct{})
	go func() { // the disk's bad days
		defer close(spoilt)
		h.Disk.FullEvery(7)
		for {
			select {
			case <-stop:
				h.Disk.FullEvery(0)
				return
			case <-time.After(60 * time.Millisecond):
			}
			storagetest.Fill(t, h.Store, 3)
			time.Sleep(time.Millisecond)
			storagetest.Free(t, h.Store)
		}
	}()
	said := make([]*speaker, senders)
	var wg sync.WaitGroup
	for i := range said {
		full := jid(t, fmt.Sprintf("from%d@example.net/x", i))
		h.Exists(full.Bare())
		s := &speaker{t: t, peer: available(t, h, full), name: fmt.Sprint("s", i), f: f, to: devices,
			rnd: rand.New(rand.NewPCG(1, uint64(i)))}
		said[i] = s
		peers = append(peers, s.peer)
		wg.Go(func() { s.speak(messages) })
	}
	wg.Wait()
	close(stop)
	<-spoilt
	rows := f.rows(t)
	checkOrder(t, devices, rows)
	checkFates(t, said, devices, rows)
	for _, p := range peers {
		p.Sender.Leave("")
	}
}

// speaker sends messages and checks after each ping what the answer says.
type speaker struct {
	t       *testing.T
	peer    *routertest.Peer
	name    string
	f       *archive
	to      [][2]*heard
	rnd     *rand.Rand
	sent    []said
	bounced heard
	pongs   int
}

type said struct {
	id         string
	to         int
	kept, gone bool // gone: to an account that does not exist
}

func (s *speaker) speak(n int) {
	s.peer.Session.Tap(func(st *xmpp.Stanza) {
		if st.Kind == xmpp.IQ {
			s.pongs++ // under the session's lock
			return
		}
		if st.Type != "error" {
			s.t.Errorf("%s heard %s", s.name, st)
		}
		s.bounced.add(st.ID)
	})
	var rd router.Round
	checked := 0
	for i := range n {
		s.send(&rd, i)
		if s.rnd.IntN(40) == 0 || i == n-1 {
			s.ping(&rd)
			s.check(s.sent[checked:])
			checked = len(s.sent)
		}
		if s.rnd.IntN(10) == 0 {
			rd.Flush()
		}
	}
}

func (s *speaker) send(rd *router.Round, i int) {
	m := said{id: s.name + "-" + strconv.Itoa(i), to: s.rnd.IntN(len(s.to)), kept: s.rnd.IntN(2) == 0, gone: s.rnd.IntN(30) == 0}
	body := "<body>x</body>"
	if m.kept {
		body += "<keep xmlns='test'/>"
		if s.rnd.IntN(25) == 0 {
			body += "<fail xmlns='test'/>"
		}
	}
	to := fmt.Sprintf("to%d@example.com", m.to)
	if m.gone {
		to, m.kept = "nobody@example.com", false
	}
	s.sent = append(s.sent, m)
	mustSend(s.t, s.peer, rd, fmt.Sprintf(`<message type='chat' id='%s' to='%s'>%s</message>`, m.id, to, body))
}

func (s *speaker) ping(rd *router.Round) {
	mustSend(s.t, s.peer, rd, `<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`)
}

// check is called behind the answer to a ping: everything before it was handed to both
// devices or bounced, and is on disk if it was to be kept.
func (s *speaker) check(sent []said) {
	rows := s.f.rows(s.t)
	for _, m := range sent {
		_, onDisk := rows[m.id]
		devices := s.to[m.to]
		here, there, back := devices[0].has(m.id), devices[1].has(m.id), s.bounced.has(m.id)
		switch {
		case here != there || here == back:
			s.t.Errorf("%s: device 0 has it: %v, device 1: %v, bounced: %v", m.id, here, there, back)
		case m.gone && here:
			s.t.Errorf("%s went to somebody else", m.id)
		case m.kept && here != onDisk || !m.kept && onDisk:
			s.t.Errorf("%s: delivered %v, on disk %v", m.id, here, onDisk)
		}
	}
}

// checkOrder wants both devices of everybody to have seen the same kept messages, in the
// order of their ids, and each sender's messages in the order of sending, nothing twice.
func checkOrder(t *testing.T, devices [][2]*heard, rows map[string]int64) {
	t.Helper()
	for i, pair := range devices {
		for d, got := range pair {
			var last int64
			lastOf := map[string]int{}
			for _, id := range got.ids {
				if got.set[id] > 1 {
					t.Errorf("device %d/%d got %s %d times", i, d, id, got.set[id])
				}
				if kept := rows[id]; kept != 0 {
					if kept < last {
						t.Errorf("device %d/%d got %s behind a greater archive id", i, d, id)
					}
					last = kept
				}
				name, n := split(id)
				if before, ok := lastOf[name]; ok && n < before {
					t.Errorf("device %d/%d got %s behind number %d", i, d, id, before)
				}
				lastOf[name] = n
			}
		}
	}
}

func checkFates(t *testing.T, all []*speaker, devices [][2]*heard, rows map[string]int64) {
	t.Helper()
	sent, bounced, delivered := 0, 0, 0
	for _, s := range all {
		sent += len(s.sent)
		bounced += len(s.bounced.ids)
		if s.pongs < 2 {
			t.Errorf("%s heard %d answers to its pings", s.name, s.pongs)
		}
		for id, n := range s.bounced.set {
			if n > 1 {
				t.Errorf("%s bounced %d times", id, n)
			}
		}
	}
	for _, pair := range devices {
		delivered += len(pair[0].ids)
	}
	if sent != bounced+delivered {
		t.Errorf("%d sent, %d bounced, %d delivered", sent, bounced, delivered)
	}
	if bounced < 100 || len(rows) < 200 || delivered-len(rows) < 200 {
		t.Errorf("too little happened to prove anything: %d bounced, %d kept, %d delivered", bounced, len(rows), delivered)
	}
	t.Logf("%d sent, %d bounced, %d delivered, %d of them kept", sent, bounced, delivered, len(rows))
}

func split(id string) (name string, n int) {
	for i := range id {
		if id[i] == '-' {
			n, _ = strconv.Atoi(id[i+1:])
			return id[:i], n
		}
	}
	return id, 0
}

// available binds a session that has sent initial presence.
func available(t testing.TB, h *routertest.House, full xmpp.JID) *routertest.Peer {
	t.Helper()
	p, err := h.Bind(full)
	if err != nil {
		t.Fatal(err)
	}
	var rd router.Round
	mustSend(t, p, &rd, "<presence/>")
	rd.Flush()
	return p
}

// mustSend sends a stanza that must not end the stream.
func mustSend(t testing.TB, p *routertest.Peer, rd *router.Round, xml string) {
	t.Helper()
	st, err := xmpp.ParseStanza(xml)
	if err == nil {
		err = p.Sender.Send(context.Background(), rd, st)
	}
	if err != nil {
		t.Errorf("%s: %v", xml, err)
	}
}

func jid(t testing.TB, s string) xmpp.JID {
	t.Helper()
	j, err := xmpp.ParseJID(s)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

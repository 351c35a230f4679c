package c2s

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/xmpp"
)

// poller is the client's and the stream's side of a session of BOSH without a network: requests
// break before they arrive, while they are held and behind their answers, and are made again in any
// order. The clock is the test's.
type poller struct {
	t   *testing.T
	rnd *rand.Rand
	srv *Server
	b   *bosh

	rid    uint64
	texts  map[uint64]string // requests that have no answer
	flying map[uint64]*try   // the latest attempt at each
	early  map[uint64]string // answers to be read behind others
	next   uint64            // whose answer is to be read
	asked  time.Time         // for a request
	posted time.Time         // when one was made for the last time

	said, told int   // numbers that the client, and the stream, have said
	heard      []int // by the client

	mu   sync.Mutex
	came []int // to the stream
	end  error // of the stream
}

// try is one attempt at a request.
type try struct {
	cut    context.CancelFunc
	answer chan *httptest.ResponseRecorder
	lost   bool // nobody reads the answer
}

func newPoller(t *testing.T, seed uint64, hold int) *poller {
	srv := &Server{arriving: map[netip.Prefix]int{}}
	srv.SetSettings(Defaults())
	p := &poller{t: t, rnd: rand.New(rand.NewPCG(seed, 124)), srv: srv, rid: 100, next: 101, posted: time.Now(), texts: map[uint64]string{}, flying: map[uint64]*try{}, early: map[uint64]string{}}
	p.b = &bosh{
		srv: srv, sid: "session", content: "text/xml", first: 100, last: 100, answered: 100, opened: true, wait: 20 * time.Second, hold: hold, window: max(hold+1, 2),
		inactivity: boshInactivity, wake: make(chan struct{}, 1), drained: make(chan struct{}), ahead: map[uint64]*boshTurn{}, conn: &conn{},
	}
	p.b.conn.bound.Store(true)
	srv.bosh.Store("session", p.b)
	return p
}

var numbered = regexp.MustCompile(` n='(\d+)'`)

func numbersIn(text string) (list []int) {
	for _, m := range numbered.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		list = append(list, n)
	}
	return list
}

// stream reads what requests bring.
func (p *poller) stream() {
	buf, text := make([]byte, 7), ""
	for p.b.Wait() == nil {
		n, err := p.b.Read(buf)
		text += string(buf[:n])
		if n == 0 && !errors.Is(err, xmpp.ErrMore) {
			p.mu.Lock()
			p.end = err
			p.mu.Unlock()
			return
		}
		if end := strings.LastIndexByte(text, '>'); end >= 0 {
			p.mu.Lock()
			p.came = append(p.came, numbersIn(text[:end])...)
			p.mu.Unlock()
			text = text[end:]
		}
	}
}

func (p *poller) step() {
	switch p.rnd.IntN(12) {
	case 0, 1, 2, 3:
		p.say()
	case 4, 5, 6:
		for range 1 + p.rnd.IntN(3) {
			p.b.Write(fmt.Appendf(nil, "<s xmlns='jabber:client' n='%d'/>", p.told))
			p.told++
		}
	case 7:
		for _, a := range p.flying {
			if a.cut(); p.rnd.IntN(2) == 0 {
				break
			}
		}
	case 8:
		for _, a := range p.flying {
			a.lost = a.lost || p.rnd.IntN(2) == 0
		}
	case 9:
		p.again()
	case 10:
		p.sleep(time.Duration(p.rnd.IntN(3000)) * time.Millisecond)
	case 11:
		if p.pauses(); p.rnd.IntN(4) == 0 {
			p.sleep(time.Duration(p.rnd.IntN(25)) * time.Second)
		}
	}
	if p.rnd.IntN(3) > 0 {
		synctest.Wait()
		p.collect()
	}
}

// sleep has time pass, but not so much that the client would count as gone.
func (p *poller) sleep(d time.Duration) {
	if time.Since(p.posted)+d < boshInactivity {
		time.Sleep(d)
		return
	}
	for time.Since(p.posted) > 0 {
		if p.again(); len(p.texts) == 0 {
			p.request("", "")
		}
	}
}

// oldest is the first request without an answer.
func (p *poller) oldest() uint64 {
	least := p.rid + 1
	for rid := range p.texts {
		least = min(least, rid)
	}
	return least
}

// say makes a request with something in it, or an empty one if none is under way.
func (p *poller) say() {
	if p.rid+1 >= p.oldest()+uint64(p.b.window) {
		return
	}
	payload := ""
	for range p.rnd.IntN(3) {
		payload += fmt.Sprintf("<m xmlns='jabber:client' n='%d'/>", p.said)
		p.said++
	}
	if payload == "" && (len(p.texts) > 0 || time.Since(p.asked) < boshPolling) {
		return
	}
	p.request("", payload)
}

// pauses asks for a pause (XEP-0124 §10), for which one more request may be made.
func (p *poller) pauses() {
	if p.rnd.IntN(4) == 0 && p.rid+1 <= p.oldest()+uint64(p.b.window) {
		p.request(" pause='100'", "")
	}
}

func (p *poller) request(attrs, payload string) {
	p.rid++
	p.asked = time.Now()
	p.texts[p.rid] = fmt.Sprintf("<body xmlns='%s' sid='session' rid='%d'%s>%s</body>", nsBOSH, p.rid, attrs, payload)
	if p.rnd.IntN(6) > 0 { // else it never arrives
		p.post(p.rid)
	}
}

func (p *poller) post(rid uint64) {
	p.posted = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, BOSHPath, strings.NewReader(p.texts[rid]))
	a := &try{cut: cancel, answer: make(chan *httptest.ResponseRecorder, 1)}
	p.flying[rid] = a
	go func() {
		w := httptest.NewRecorder()
		p.srv.takeRequest(w, r)
		if ctx.Err() != nil {
			w.Code = 0 // nobody reads it
		}
		cancel()
		a.answer <- w
	}()
	if p.rnd.IntN(2) == 0 {
		synctest.Wait()
	}
}

// again makes requests once more, in any order, whether their attempts have ended or not.
func (p *poller) again() {
	var list []uint64
	for rid := range p.texts {
		list = append(list, rid)
	}
	slices.Sort(list)
	p.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, rid := range list {
		if p.flying[rid] == nil || p.rnd.IntN(4) == 0 {
			p.post(rid)
		}
	}
}

// collect reads the answers that have come.
func (p *poller) collect() {
	for rid, a := range p.flying {
		select {
		case w := <-a.answer:
			delete(p.flying, rid)
			text := w.Body.String()
			switch {
			case a.lost, w.Code == 0:
			case strings.Contains(text, "type='error'"): // a later attempt is under way, and breaks
			case w.Code != http.StatusOK, strings.Contains(text, "terminate"):
				p.t.Fatalf("request %d of %d: %d %s", rid, p.rid, w.Code, text)
			default:
				p.early[rid] = text
				delete(p.texts, rid)
			}
		default:
		}
	}
	for text, ok := p.early[p.next]; ok; text, ok = p.early[p.next] {
		p.heard = append(p.heard, numbersIn(text)...)
		delete(p.early, p.next)
		p.next++
	}
}

// finish repairs all that is broken and compares.
func (p *poller) finish() {
	for i := 0; len(p.heard) < p.told || len(p.texts) > 0 || p.arrived() < p.said; i++ {
		if i > 50 {
			p.t.Fatalf("%d of %d heard, %d of %d came, without answers: %v", len(p.heard), p.told, p.arrived(), p.said, p.texts)
		}
		time.Sleep(boshPolling)
		if p.again(); len(p.texts) == 0 {
			p.request("", "")
		}
		synctest.Wait()
		p.collect()
	}
	for name, list := range map[string][]int{"the client": p.heard, "the stream": p.came} {
		for i, n := range list {
			if n != i {
				p.t.Fatalf("%s got %d as number %d: %v", name, n, i, list)
			}
		}
	}
	if len(p.heard) != p.told || len(p.came) != p.said {
		p.t.Fatalf("%d of %d heard, %d of %d came", len(p.heard), p.told, len(p.came), p.said)
	}
}

func (p *poller) arrived() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.came)
}

// leave goes without a word. After the time that such a client has, nothing is left of it.
func (p *poller) leave() {
	for _, a := range p.flying {
		a.cut()
	}
	time.Sleep(boshMaxPause + boshInactivity)
	synctest.Wait()
	if _, there := p.srv.bosh.Load("session"); there {
		p.t.Error("the session is there for ever")
	}
	if p.mu.Lock(); p.end == nil {
		p.t.Error("the stream goes on for ever")
	}
	p.mu.Unlock()
}

// Whatever breaks, what either side says comes once and in order (XEP-0124 §14), and who goes
// leaves nothing behind (XEP-0124 §10).
func TestBOSHExactlyOnce(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			p := newPoller(t, seed, 1+int(seed%3))
			go p.stream()
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			for range 150 {
				p.step()
			}
			p.finish()
			p.leave()
		})
	}
}

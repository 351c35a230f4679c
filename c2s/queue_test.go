package c2s

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/xmpp"
)

// slowly is a transport whose Write may be held up, and whose peer may read nothing.
type slowly struct {
	mu      sync.Mutex
	got     []byte
	closed  bool
	backlog int
	since   time.Time
	sent    []func()
	entered chan struct{} // a write has begun
	proceed chan struct{} // and may end
}

func (s *slowly) Wait() error              { select {} }
func (s *slowly) Read([]byte) (int, error) { return 0, xmpp.ErrMore }
func (s *slowly) Close(time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *slowly) Backlog() (int, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlog, s.since
}

func (s *slowly) WhenSent(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog > 0 {
		s.sent = append(s.sent, fn)
	}
	return s.backlog > 0
}

// takes has the socket take all that it has refused.
func (s *slowly) takes() {
	s.mu.Lock()
	s.backlog, s.since = 0, time.Time{}
	then := s.sent
	s.sent = nil
	s.mu.Unlock()
	for _, fn := range then {
		fn()
	}
}

func (s *slowly) Write(p []byte) error {
	if s.entered != nil {
		s.entered <- struct{}{}
		<-s.proceed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("closed")
	}
	s.got = append(s.got, p...)
	return nil
}

func queueOver(tr xmpp.Transport) *queue {
	return &queue{stream: xmpp.NewStream(tr, xmpp.NSClient, false, xmpp.Limits{}), set: &Settings{Queue: 1 << 20, Stall: time.Second}}
}

func message(text string) *xmpp.Stanza {
	st, err := xmpp.ParseStanza("<message><body>" + text + "</body></message>")
	if err != nil {
		panic(err)
	}
	return st
}

// The end of a stream is written although somebody else is writing, and only then is the
// connection closed.
func TestEndBehindAnotherWriter(t *testing.T) {
	tr := &slowly{entered: make(chan struct{}), proceed: make(chan struct{})}
	q := queueOver(tr)
	q.push(message("first"), 0)
	done := make(chan struct{})
	go func() { q.flush(); close(done) }()
	<-tr.entered
	q.push(message("second"), 0)
	q.end([]byte("</stream:stream>"), func() { tr.Close(0) })
	if _, err := q.push(message("late"), 0); !errors.Is(err, errOver) {
		t.Errorf("a push behind the end: %v", err)
	}
	q.end([]byte("again"), func() { t.Error("ended twice") })
	tr.proceed <- struct{}{}
	<-tr.entered
	tr.proceed <- struct{}{}
	<-done
	want := "<message><body>first</body></message><message><body>second</body></message></stream:stream>"
	if string(tr.got) != want || !tr.closed {
		t.Errorf("closed %v, written\n%s", tr.closed, tr.got)
	}
}

// What the socket has refused counts against the limit, though the queue itself is empty.
func TestBacklogCounts(t *testing.T) {
	tr := &slowly{}
	q := queueOver(tr)
	push := func() error {
		defer q.flush()
		q.set = &Settings{Queue: 4000, Stall: time.Minute}
		_, err := q.push(message("x"), 0)
		return err
	}
	if err := push(); err != nil {
		t.Fatal(err)
	}
	tr.backlog, tr.since = 3000, time.Now()
	push() // its flush finds the backlog
	if err := push(); err != nil {
		t.Errorf("below the limit: %v", err)
	}
	tr.backlog = 4001
	if err := push(); !errors.Is(err, errReadsTooSlowly) {
		t.Errorf("above the limit: %v", err)
	}
	q = queueOver(tr) // a quarter of the limit, and nothing taken for too long
	tr.backlog, tr.since = 1100, time.Now().Add(-time.Hour)
	push()
	if err := push(); !errors.Is(err, errReadsTooSlowly) {
		t.Errorf("stalled: %v", err)
	}
	before := len(tr.got)
	q.end([]byte("<error/>"), nil)
	if got := string(tr.got[before:]); got != "<error/>" {
		t.Errorf("who reads too slowly gets %q", got)
	}
}

// What is pushed while a resource is being bound comes behind the answer; an end before it
// takes only itself.
func TestHoldAndRelease(t *testing.T) {
	tr := &slowly{}
	q := queueOver(tr)
	q.hold()
	q.push(message("early"), 0)
	q.flush()
	if len(tr.got) > 0 {
		t.Errorf("written while held: %s", tr.got)
	}
	q.release([]byte("<bound/>"))
	if !bytes.HasPrefix(tr.got, []byte("<bound/><message>")) {
		t.Errorf("got %s", tr.got)
	}
	tr = &slowly{}
	q = queueOver(tr)
	q.begin([]byte("<header>"))
	q.open([]byte("<our header>"))
	q.hold()
	q.push(message("early"), 0)
	q.end([]byte("<error/>"), nil)
	if err := q.release([]byte("<bound/>")); !errors.Is(err, errOver) {
		t.Errorf("released after the end: %v", err)
	}
	if string(tr.got) != "<our header><error/>" {
		t.Errorf("got %s", tr.got)
	}
}

// An error before our header brings one along (RFC 6120 §4.9.1.2).
func TestEndBeforeTheHeader(t *testing.T) {
	tr := &slowly{}
	q := queueOver(tr)
	q.begin([]byte("<header>"))
	q.end([]byte("<error/>"), nil)
	if string(tr.got) != "<header><error/>" {
		t.Errorf("got %s", tr.got)
	}
}

// An empty queue holds no memory, and large buffers are not kept for others.
func TestQueueHoldsNothing(t *testing.T) {
	q := queueOver(&slowly{})
	q.push(message(strings.Repeat("x", 200<<10)), 0)
	q.flush()
	if q.waiting != nil {
		t.Errorf("%d bytes are held", cap(*q.waiting))
	}
	for range 100 {
		if b := buffers.Get().(*[]byte); cap(*b) > keepBuffer {
			t.Fatalf("a buffer of %d bytes was kept", cap(*b))
		}
	}
}

// IPv6 addresses count by /64, others by themselves.
func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s instead of %s", in, got, want)
		}
	}
}

// While the socket refuses bytes, what waits is held as it is: however many queues hold a
// message, its body is in memory once. When the socket takes bytes again all leave in order.
func TestSlowReadersShareBodies(t *testing.T) {
	const queues, size = 200, 100 << 10
	text := strings.Repeat("x", size)
	var list []*queue
	var wires []*slowly
	for range queues {
		tr := &slowly{backlog: 1, since: time.Now()}
		q := queueOver(tr)
		q.push(message("first"), 0)
		q.flush() // finds the backlog
		list, wires = append(list, q), append(wires, tr)
	}
	big := message(text)
	var before, behind runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, q := range list {
		for range 3 {
			if _, err := q.push(big.Readdressed(big.To, big.From), 0); err != nil {
				t.Fatal(err)
			}
		}
		q.flush()
	}
	runtime.ReadMemStats(&behind)
	if n := behind.TotalAlloc - before.TotalAlloc; n > 2*size+queues*4096 {
		t.Errorf("%d queues with a message of %d bytes three times cost %d bytes", queues, size, n)
	}
	want := "<message><body>first</body></message>"
	for range 3 {
		want += "<message><body>" + text + "</body></message>"
	}
	for i, tr := range wires {
		tr.takes()
		list[i].push(message("last"), 0)
		list[i].flush()
		if got := string(tr.got); got != want+"<message><body>last</body></message>" {
			t.Fatalf("queue %d wrote %d bytes instead of %d", i, len(got), len(want))
		}
	}
	q := list[0] // and the limit counts what waits so
	wires[0].backlog = 1
	q.push(message("x"), 0)
	q.flush()
	var err error
	for n := 0; err == nil && n < 100; n++ {
		_, err = q.push(big, 0)
	}
	if !errors.Is(err, errReadsTooSlowly) {
		t.Errorf("a queue without end: %v", err)
	}
}

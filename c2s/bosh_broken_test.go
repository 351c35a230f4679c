package c2s

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/router"
	"parley/xmpp"
)

// later makes the request with an id and returns its attempt.
func (p *poller) later(rid uint64, attrs, payload string) *try {
	p.rid = rid
	p.texts[rid] = "<body xmlns='" + nsBOSH + "' sid='session' rid='" + decimal(uint32(rid)) + "'" + attrs + ">" + payload + "</body>"
	p.post(rid)
	synctest.Wait()
	return p.flying[rid]
}

// answered returns what has answered an attempt, "" if nothing has.
func (a *try) answered() string {
	select {
	case w := <-a.answer:
		return http.StatusText(w.Code) + " " + w.Body.String()
	default:
		return ""
	}
}

// still is a session whose stream reads nothing by itself.
func still(t *testing.T) *poller {
	p := newPoller(t, 1, 1)
	t.Cleanup(func() { p.b.Close(0) })
	return p
}

// The end of the stream is told to a request that is made once more because its connection broke
// (XEP-0124 §13, §14.3).
func TestBOSHEndAfterBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := still(t)
		p.later(101, "", "").cut()
		synctest.Wait()
		p.b.Write([]byte("<stream:error xmlns:stream='" + xmpp.NSStream + "'><conflict xmlns='" + xmpp.NSStreams + "'/></stream:error>"))
		p.b.Close(linger)
		a := p.later(101, "", "")
		if got := a.answered(); !strings.Contains(got, "remote-stream-error") || !strings.Contains(got, "<conflict") {
			t.Errorf("%q", got)
		}
	})
}

// A request that waits for one which never came is told of the end, too.
func TestBOSHEndOfRequestsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := still(t)
		a := p.later(102, "", "")
		p.b.Close(linger)
		synctest.Wait()
		if got := a.answered(); !strings.Contains(got, "terminate") {
			t.Errorf("%q", got)
		}
		time.Sleep(boshInactivity + time.Second)
		if _, there := p.srv.bosh.Load("session"); there {
			t.Error("the session is there for ever")
		}
	})
}

// A request that comes once more when its time is over is answered at once (XEP-0124 §8): a proxy
// that has waited for as long as the server would else see it break again and again.
func TestBOSHLateAfterBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := still(t)
		p.later(101, "", "").cut()
		time.Sleep(p.b.wait + time.Second)
		if got := p.later(101, "", "").answered(); !strings.HasPrefix(got, "OK <body") || strings.Contains(got, "type=") {
			t.Errorf("%q", got)
		}
	})
}

// While the stream has enough to read nobody adds to it by breaking requests off, no more of them
// wait than a window has, and the end of the stream lets them go.
func TestBOSHUnreadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(t, 1, 1)
		p.b.mu.Lock()
		p.b.in = append(p.b.in, strings.Repeat(" ", boshInput+1)...) // the stream is not told
		p.b.mu.Unlock()
		size := func() int {
			p.b.mu.Lock()
			defer p.b.mu.Unlock()
			return len(p.b.in)
		}
		was := size()
		for rid := range uint64(20) {
			p.later(101+rid, "", "<m xmlns='jabber:client'/>").cut()
			synctest.Wait()
		}
		if size() != was {
			t.Errorf("%d bytes more wait", size()-was)
		}
		var list []*try
		for range p.b.many() {
			list = append(list, p.later(101, "", "<m xmlns='jabber:client'/>"))
		}
		if got := p.later(101, "", "").answered(); !strings.HasPrefix(got, http.StatusText(http.StatusServiceUnavailable)) {
			t.Errorf("%q", got)
		}
		time.Sleep(boshMaxPause + boshInactivity) // they are there, so the client is
		if _, there := p.srv.bosh.Load("session"); !there {
			t.Fatal("the session is gone")
		}
		p.b.Close(0)
		synctest.Wait()
		for _, a := range list {
			if a.answered() == "" {
				t.Error("one waits for ever")
			}
		}
	})
}

// TestBOSHArrivingBodies: one address has only so many bodies on their way, on whatever
// connections.
func TestBOSHArrivingBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := still(t)
		post := func(from string, body io.Reader) chan int {
			r := httptest.NewRequest(http.MethodPost, BOSHPath, body)
			r = r.WithContext(router.WithVisitor(r.Context(), router.Visitor{Addr: netip.MustParseAddr(from), Secure: true}))
			status := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				p.srv.takeRequest(w, r)
				status <- w.Code
			}()
			synctest.Wait()
			return status
		}
		body, more := io.Pipe()
		var list []chan int
		for i := range boshArriving {
			list = append(list, post([]string{"2001:db8::1", "2001:db8::2"}[i%2], body))
		}
		if status := <-post("2001:db8::3", strings.NewReader("<body/>")); status != http.StatusServiceUnavailable {
			t.Errorf("one more of them: %d", status)
		}
		if status := <-post("2001:db8:0:1::", strings.NewReader("<body/>")); status != http.StatusOK {
			t.Errorf("somebody else: %d", status)
		}
		more.Close()
		for _, status := range list {
			<-status
		}
		if len(p.srv.arriving) != 0 {
			t.Errorf("%v", p.srv.arriving)
		}
	})
}

// TestBOSHVersion: XEP-0124 §7.2.
func TestBOSHVersion(t *testing.T) {
	for ver, want := range map[string]string{"": "", "1.6": "1.6", "1.11": "1.11", "1.12": "1.11", "2.0": "1.11", "x": "1.11", "1.-1": "1.11", "1.": "1.11"} {
		if got := lower(ver); got != want {
			t.Errorf("%q: %q, not %q", ver, got, want)
		}
	}
}

package roster

import (
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/xmpp"
)

// TestStampIsOfTheSending asks for presence some time after it was sent (RFC 6121 §4.3.2).
func TestStampIsOfTheSending(t *testing.T) {
	s := newStage(t)
	before := time.Now().Truncate(time.Millisecond)
	s.Online("romeo@example.com/a")
	after := time.Now()
	time.Sleep(5 * time.Millisecond)
	b := s.Connected("romeo@example.com/b")
	b.Sends(`<presence/>`)
	b.Gets(`<presence from='romeo@example.com/b'/>`)
	st := b.Hears()
	stamp, err := time.Parse(time.RFC3339, st.Child(xmpp.NSDelay, "delay").Attr("stamp"))
	if err != nil || stamp.Before(before) || stamp.After(after) {
		t.Errorf("sent between %v and %v: %s, %v", before, after, st, err)
	}
	if from := st.Child(xmpp.NSDelay, "delay").Attr("from"); from != "example.com" {
		t.Errorf("held up by %q", from)
	}
	b.GetsNothing()
}

// TestShownAgain has a feature change what is shown: everybody hears of it once, with the
// time of what the client has sent, and nobody where nothing changes.
func TestShownAgain(t *testing.T) {
	word := "one"
	s := routertest.New(t, New(), router.Feature{Name: "word", Shown: func(_ *router.Account, st *xmpp.Stanza) *xmpp.Stanza {
		var b xmpp.Builder
		return st.With(b.Leaf("urn:test", "word", word).Payload())
	}})
	a := s.Connected("romeo@example.com/a")
	a.Sends(`<presence id='p'><show>xa</show></presence>`)
	a.Gets(`<presence id='p'><show>xa</show><word xmlns='urn:test'>one</word></presence>`)
	reshow := func() (sent time.Time) {
		s.Router.WithAccountInMemory(a.JID().Bare(), func(acc *router.Account) {
			if err := acc.Do(func(t *router.Turn) { s.Router.Reshow(t, acc) }); err != nil {
				t.Error(err)
			}
			res, _ := acc.Resource("a")
			sent = res.Sent
		})
		s.Settle()
		return sent
	}
	was := reshow()
	a.GetsNothing()
	word = "two"
	if now := reshow(); !now.Equal(was) {
		t.Errorf("sent at %v, and then at %v", was, now)
	}
	a.Gets(`<presence id='p'><show>xa</show><word xmlns='urn:test'>two</word></presence>`)
	a.GetsNothing()
	a.Sends(`<presence type='unavailable'/>`)
	a.Gets(`<presence type='unavailable'><word xmlns='urn:test'>two</word></presence>`)
	word = "three"
	reshow()
	a.GetsNothing()
}

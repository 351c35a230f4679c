package mam_test

import (
	"fmt"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/mam"
	"parley/xmpp"
)

const said = `<message to='juliet@example.com' type='chat' id='%s'>%s</message>`

// TestResent: a message that a client sends again in a later stream, because an earlier one
// ended before it was acknowledged, is not another message; one that differs in anything, or
// that is said twice in one stream, is.
func TestResent(t *testing.T) {
	h := house(t, &mam.Limits{}, storage.Config{})
	juliet := h.Online("juliet@example.com/x")
	hears := func(want ...string) {
		t.Helper()
		for _, w := range want {
			juliet.Gets(fmt.Sprintf(said, w, "…"))
		}
		juliet.GetsNothing()
	}
	phone := h.Online("romeo@example.com/phone")
	phone.Sends(fmt.Sprintf(said, "1", "<body>1</body>"))
	phone.Sends(fmt.Sprintf(said, "1", "<body>1</body>")) // in one stream: another message
	phone.Sends(fmt.Sprintf(said, "2", "<body>2</body>"))
	phone.Sends(fmt.Sprintf(said, "", "<body>3</body><origin-id xmlns='urn:xmpp:sid:0' id='o3'/>"))
	phone.Sends(fmt.Sprintf(said, "", "<body>4</body>"))
	hears("1", "1", "2", "", "")
	phone.Leaves()
	again := func(sure bool) *routertest.Actor {
		p := h.Online("romeo@example.com/phone")
		if !sure {
			p.Leaves()
			p.Peer().Sender.Unsure(time.Now().Add(-time.Minute))
			p = h.Online("romeo@example.com/tablet")
		}
		return p
	}
	phone = again(true)
	phone.Sends(fmt.Sprintf(said, "1", "<body>1</body>")) // all was acknowledged
	hears("1")
	phone.Leaves()
	for _, id := range []string{"", "another"} { // also the second stream was lost
		phone = again(false)
		delay := `<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>`
		phone.Sends(fmt.Sprintf(said, "2", "<body>2</body>"+delay))
		phone.Sends(fmt.Sprintf(said, id, "<body>3</body><origin-id xmlns='urn:xmpp:sid:0' id='o3'/>"))
		hears()
		phone.Leaves()
		phone.Peer().Sender.Unsure(time.Now())
	}
	phone = again(false)
	phone.Sends(fmt.Sprintf(said, "2", "<body>2</body>"))
	phone.Sends(fmt.Sprintf(said, "2", "<body>2</body>")) // again in one stream
	phone.Sends(fmt.Sprintf(said, "2", "<body>two</body>"))
	phone.Sends(fmt.Sprintf(said, "5", "<body>2</body>"))
	phone.Sends(fmt.Sprintf(said, "", "<body>4</body>")) // nothing to tell it by
	hears("2", "2", "5", "")
	phone.Sends(`<message to='nurse@example.com' type='chat' id='2'><body>2</body></message>`)
	phone.Gets(`<message type='error' id='2'>…</message>`)
}

// TestResentAfterCrash: after a crash nobody knows whose streams had ended.
func TestResentAfterCrash(t *testing.T) {
	for _, crash := range []bool{false, true} {
		dir := t.TempDir()
		people := &routertest.Directory{}
		open := func(lim *mam.Limits) *routertest.House {
			return routertest.NewWith(t, routertest.Config{Dir: people,
				Features: []router.Feature{mam.New(func() mam.Limits { return *lim })}, Storage: storage.Config{Dir: dir}})
		}
		h := open(&mam.Limits{})
		h.Exists(xmpp.MustJID("juliet@example.com"))
		romeo := h.Online("romeo@example.com/phone")
		romeo.Sends(fmt.Sprintf(said, "1", "<body>1</body>"))
		romeo.Leaves()
		if !crash {
			h.Router.Stop(t.Context())
		}
		h.Store.Close(t.Context())
		h = open(&mam.Limits{})
		romeo = h.Online("romeo@example.com/phone")
		romeo.Sends(fmt.Sprintf(said, "1", "<body>1</body>"))
		juliet := h.Online("juliet@example.com/x")
		juliet.Gets(fmt.Sprintf(said, "1", "…"))
		if !crash {
			juliet.Gets(fmt.Sprintf(said, "1", "…"))
		}
		juliet.GetsNothing()
	}
}

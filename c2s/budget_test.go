package c2s_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/xmpp"
)

// Who sends more than the account's budget is read later, and loses nothing; others are read
// as ever. The budget is the account's: another connection of it has it no better.
func TestBudgets(t *testing.T) {
	h := open(t, func(p *plan) { p.set.AccountRate, p.set.AccountBurst = 200<<10, 100<<10 })
	loud, other, quiet := h.login("romeo", "a"), h.login("romeo", "b"), h.login("juliet", "x")
	flood := func(n int) string {
		return strings.Repeat(fmt.Sprintf("<message to='nobody@example.com'><body>%01000d</body><no-store xmlns='urn:xmpp:hints'/></message>", 0), n)
	}
	began := time.Now()
	loud.Say("%s", flood(300)) // 300 KiB: a second is to pass until all of it is read
	time.Sleep(100 * time.Millisecond)
	quiet.Ping(nil)
	if d := time.Since(began); h.router.Stats().Stanzas[xmpp.Message].Load() == 300 {
		t.Errorf("somebody else waited for %s", d)
	}
	other.Say("%s", flood(20))
	other.Ping(nil) // what has come is handled; what comes is read later
	other.Ping(nil)
	if d := time.Since(began); d < 160*time.Millisecond {
		t.Errorf("the other connection was read after %s", d)
	}
	loud.Ping(nil)
	if d := time.Since(began); d < 800*time.Millisecond || d > 30*time.Second {
		t.Errorf("all was read after %s", d)
	}
	if h.Stats().Paced.Load() == 0 {
		t.Error("nobody was held up")
	}
}

// The same for an address, whoever connects from there.
func TestAddressBudgets(t *testing.T) {
	h := open(t, func(p *plan) { p.set.AddressRate, p.set.AddressBurst = 200<<10, 100<<10 })
	romeo, juliet := h.login("romeo", "a"), h.login("juliet", "x")
	flood := strings.Repeat(fmt.Sprintf("<message to='nobody@example.com'><body>%01000d</body><no-store xmlns='urn:xmpp:hints'/></message>", 0), 300)
	began := time.Now()
	romeo.Say("%s", flood)
	juliet.Say("%s", flood)
	romeo.Ping(nil)
	juliet.Ping(nil)
	if d := time.Since(began); d < 1500*time.Millisecond { // 650 KiB, less what is there at once and a round of 64 each
		t.Errorf("all was read after %s", d)
	}
}

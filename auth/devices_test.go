package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/xmpp"
)

// visitWith logs in with the password and asks for nothing.
func visitWith(t testing.TB, a *Auth, name string, agent xmpp.UserAgent) {
	t.Helper()
	x := begin(t, a, "SCRAM-SHA-256", channel(somewhere))
	if _, err := (&scramClient{hash: SHA256, name: name, password: "pencil"}).login(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	if token, err := x.Admit(context.Background(), Visit{Agent: agent}); err != nil || token.Secret != "" {
		t.Fatalf("%+v, %v", token, err)
	}
}

// shown lists the devices of an account when what is queued has been written.
func shown(t testing.TB, a *Auth, acc Account) (list []Device) {
	t.Helper()
	settle(t, a)
	list, err := a.Accounts().Devices(context.Background(), acc.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func settle(t testing.TB, a *Auth) {
	t.Helper()
	if err := a.Accounts().DropTokens(context.Background(), address("romeo"), "nobody's"); err != nil {
		t.Fatal(err)
	}
}

func TestDevices(t *testing.T) {
	a, c := open(t, Config{})
	acc := create(t, a, "romeo", "pencil")
	start := c.now()
	visitWith(t, a, "romeo", agentOf(phone))
	list := shown(t, a, acc)
	if len(list) != 1 || list[0].Agent != agentOf(phone) || !list[0].Password || list[0].Token || list[0].Certificate || len(list[0].ID) != 16 || list[0].ID == phone {
		t.Fatalf("%+v", list)
	}
	c.sleep(context.Background(), 10*time.Minute)
	visitWith(t, a, "romeo", agentOf(phone)) // so soon that it is not written
	visitWith(t, a, "romeo", xmpp.UserAgent{Software: "without an id"})
	c.sleep(context.Background(), 2*time.Hour)
	enrol(t, a, channel(somewhere), "romeo", laptop, TokenUnbound)
	renamed := agentOf(phone)
	renamed.Device = "Kiva's other phone"
	list = shown(t, a, acc)
	if len(list) != 2 || list[0].Agent.ID != laptop || !list[0].Token || !list[1].LastSeen.Equal(start) {
		t.Fatalf("%+v", list)
	}
	visitWith(t, a, "romeo", renamed)
	id := list[1].ID
	list = shown(t, a, acc)
	if len(list) != 2 || list[0].Agent != renamed && list[1].Agent != renamed {
		t.Fatalf("%+v", list)
	}
	for _, d := range list {
		if d.Agent == renamed && (d.ID != id || !d.FirstSeen.Equal(start) || !d.LastSeen.Equal(c.now())) {
			t.Errorf("%+v", d)
		}
	}
	if err := a.Accounts().SetPassword(context.Background(), acc.JID, "pencil"); err != nil {
		t.Fatal(err)
	}
	for _, d := range shown(t, a, acc) {
		if d.Password || d.Token {
			t.Errorf("after a change of the password: %+v", d)
		}
	}
	if was, err := a.Accounts().RevokeDevice(context.Background(), acc.ID, id); err != nil || was.Agent != renamed {
		t.Errorf("%+v, %v", was, err)
	}
	if _, err := a.Accounts().RevokeDevice(context.Background(), acc.ID, id); !errors.Is(err, ErrNoDevice) {
		t.Errorf("revoked twice: %v", err)
	}
	other := create(t, a, "juliet", "pencil")
	if _, err := a.Accounts().RevokeDevice(context.Background(), other.ID, shown(t, a, acc)[0].ID); !errors.Is(err, ErrNoDevice) {
		t.Errorf("somebody else's: %v", err)
	}
	if n, err := a.Accounts().RevokeDevices(context.Background(), acc.ID); n != 1 || err != nil || len(shown(t, a, acc)) != 0 {
		t.Errorf("%d, %v", n, err)
	}
}

// A client that was revoked while it was connected does not come back into the list by its
// token being used.
func TestRevokedDeviceStaysAway(t *testing.T) {
	a, c := open(t, Config{})
	acc := create(t, a, "romeo", "pencil")
	token := enrol(t, a, channel(somewhere), "romeo", phone, TokenUnbound)
	c.sleep(context.Background(), 2*time.Hour)
	x, _ := show(t, a, channel(somewhere), "romeo", phone, TokenUnbound, token.Secret)
	if _, err := a.Accounts().RevokeDevices(context.Background(), acc.ID); err != nil {
		t.Fatal(err)
	}
	x.Admit(context.Background(), Visit{Agent: agentOf(phone)})
	if list := shown(t, a, acc); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// Devices that do not come are forgotten, unless they have a token that is good.
func TestTidyDevices(t *testing.T) {
	ctx := context.Background()
	a, c := open(t, Config{Devices: DevicePolicy{Lifetime: 10 * 24 * time.Hour, Remember: 24 * time.Hour, Most: 2000}})
	acc := create(t, a, "romeo", "pencil")
	x := begin(t, a, "SCRAM-SHA-256", channel(somewhere))
	if _, err := (&scramClient{hash: SHA256, name: "romeo", password: "pencil"}).login(ctx, x); err != nil {
		t.Fatal(err)
	}
	for i := range forgetAtOnce + 10 { // more than one transaction forgets
		x.Admit(ctx, Visit{Agent: agentOf(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i))})
	}
	enrol(t, a, channel(somewhere), "romeo", laptop, TokenUnbound)
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{23 * time.Hour, forgetAtOnce + 11}, {2 * time.Hour, 1}, {10 * 24 * time.Hour, 0}} {
		settle(t, a)
		c.sleep(ctx, step.after)
		if err := a.Accounts().TidyDevices(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(shown(t, a, acc)); n != step.left {
			t.Errorf("%d devices, not %d", n, step.left)
		}
	}
}

// XEP-0494 §6: an operator may keep nothing but what tokens need.
func TestNothingRemembered(t *testing.T) {
	a, _ := open(t, Config{Devices: DevicePolicy{Remember: -1}})
	acc := create(t, a, "romeo", "pencil")
	visitWith(t, a, "romeo", agentOf(phone))
	if list := shown(t, a, acc); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	enrol(t, a, channel(somewhere), "romeo", laptop, TokenUnbound)
	if list := shown(t, a, acc); len(list) != 1 || list[0].Agent != (xmpp.UserAgent{ID: laptop}) {
		t.Errorf("%+v", list)
	}
}

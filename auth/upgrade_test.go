package auth

import (
	"context"
	"crypto/pbkdf2"
	"fmt"
	"testing"

	"parley/storage"
)

// imported makes an account with a verifier for SHA-1 alone, as other servers have it.
func imported(t testing.TB, a *Auth, local string) {
	t.Helper()
	err := a.accounts.store.Write(context.Background(), func(tx *storage.Tx) error {
		key, err := derive(SHA1, "pencil", []byte("salt and pepper"), minIterations)
		if err != nil {
			return err
		}
		_, err = a.Accounts().CreateTx(tx, address(local), []Credential{key})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.accounts.countLacking(context.Background()); err != nil { // as a start does
		t.Fatal(err)
	}
}

// sha1Login logs in with SCRAM-SHA-1.
func sha1Login(t testing.TB, a *Auth, name string) *Exchange {
	t.Helper()
	x := begin(t, a, "SCRAM-SHA-1", channel(somewhere))
	if _, err := (&scramClient{hash: SHA1, name: name, password: "pencil"}).login(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	return x
}

func salted(t testing.TB, u *Upgrade, h Hash) []byte {
	t.Helper()
	key, err := pbkdf2.Key(h.new, "pencil", u.Salt, u.Iterations, h.size())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	a, _ := open(t, Config{})
	create(t, a, "juliet", "pencil")
	if got := a.Upgrades(); len(got) != 0 {
		t.Errorf("nobody needs %v", got)
	}
	imported(t, a, "romeo")
	if got := fmt.Sprint(a.Upgrades()); got != "[UPGR-SCRAM-SHA-512 UPGR-SCRAM-SHA-256]" {
		t.Error(got)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != NotAuthorized {
		t.Errorf("SCRAM-SHA-256 before: %q", got)
	}
	wanted := []string{"UPGR-SCRAM-SHA-1", "UPGR-NONSENSE", "SCRAM-SHA-256", "UPGR-SCRAM-SHA-256-PLUS", "UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512"}
	if u, err := sha1Login(t, a, "juliet").Upgrade(ctx, wanted); u != nil || err != nil {
		t.Errorf("juliet needs nothing: %+v, %v", u, err)
	}
	x := sha1Login(t, a, "romeo")
	u, err := x.Upgrade(ctx, wanted)
	if err != nil || u == nil || u.Task != "UPGR-SCRAM-SHA-256" || len(u.Salt) != saltSize || u.Iterations < minIterations {
		t.Fatalf("%+v, %v", u, err)
	}
	wantCondition(t, u.Finish(ctx, []byte("too short")), MalformedRequest)
	if err := u.Finish(ctx, salted(t, u, SHA256)); err != nil {
		t.Fatal(err)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != "" {
		t.Errorf("SCRAM-SHA-256 afterwards: %q", got)
	}
	if u, err = x.Upgrade(ctx, wanted); err != nil || u.Task != "UPGR-SCRAM-SHA-512" {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := u.Finish(ctx, salted(t, u, SHA512)); err != nil {
		t.Fatal(err)
	}
	if u, err = x.Upgrade(ctx, wanted); u != nil || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if got := a.Upgrades(); len(got) != 0 {
		t.Errorf("nobody needs %v any more", got)
	}
	sha1Login(t, a, "romeo") // XEP-0480 §4
}

// Whoever has no more than a token cannot set a password by an upgrade, and one that is
// under way ends with the password that began it.
func TestUpgradeNeedsThePassword(t *testing.T) {
	ctx := context.Background()
	a, _ := open(t, Config{})
	imported(t, a, "romeo")
	x := sha1Login(t, a, "romeo")
	token, err := x.Admit(ctx, Visit{Agent: agentOf(phone), Mechanism: TokenUnbound})
	if err != nil {
		t.Fatal(err)
	}
	y, got := show(t, a, channel(somewhere), "romeo", phone, TokenUnbound, token.Secret)
	if got != "" {
		t.Fatal(got)
	}
	if u, err := y.Upgrade(ctx, []string{"UPGR-SCRAM-SHA-256"}); u != nil || err != nil {
		t.Errorf("with a token: %+v, %v", u, err)
	}
	u, err := x.Upgrade(ctx, []string{"UPGR-SCRAM-SHA-256"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Accounts().SetPassword(ctx, address("romeo"), "another"); err != nil {
		t.Fatal(err)
	}
	wantCondition(t, u.Finish(ctx, salted(t, u, SHA256)), NotAuthorized)
	if got := try(t, a, channel(somewhere), "romeo", "another"); got != "" {
		t.Errorf("the new password: %q", got)
	}
}

// XEP-0515 §4.1: SCRAM says which version of TLS it runs over, where that is known.
func TestTLSVersionInSCRAM(t *testing.T) {
	for version, want := range map[uint16]string{0x0304: "0304", 0x0303: "0303", 0: ""} {
		for _, off := range []bool{false, true} {
			a, _ := open(t, Config{NoDowngradeHash: off})
			ch := channel(somewhere)
			ch.Version = version
			out, _, err := begin(t, a, "SCRAM-SHA-256", ch).Step(context.Background(), []byte("n,,n=nobody,r=x"))
			if off {
				want = ""
			}
			if err != nil || attribute(string(out), "t") != want {
				t.Errorf("%#x: %s, %v", version, out, err)
			}
		}
	}
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	ch.Version = 0x0304
	if got := try(t, a, ch, "romeo", "pencil"); got != "" {
		t.Errorf("the proof covers it: %q", got)
	}
	forged := &scramClient{hash: SHA256, name: "romeo", password: "pencil"}
	x := begin(t, a, "SCRAM-SHA-256", ch)
	out, _, err := x.Step(context.Background(), []byte("n,,n=romeo,r=abc"))
	if err != nil {
		t.Fatal(err)
	}
	changed := string(out[:len(out)-len("0304")]) + "0303"
	final, err := forged.answer("n=romeo,r=abc", changed)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = x.Step(context.Background(), []byte(final))
	wantCondition(t, err, NotAuthorized)
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"parley/storage"
)

// Somebody who asks for accounts learns nothing: the challenge of an account that does
// not exist is of the same form, and the same each time.
func TestUnknownUserHasStableSalt(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ask := func(name, mechanism string) (salt, iterations string) {
		out, _, err := begin(t, a, mechanism, channel(somewhere)).Step(context.Background(), []byte("n,,n="+name+",r=x"))
		if err != nil {
			t.Fatal(err)
		}
		return attribute(string(out), "s"), attribute(string(out), "i")
	}
	realSalt, realIterations := ask("romeo", "SCRAM-SHA-256")
	salt, iterations := ask("nobody", "SCRAM-SHA-256")
	if len(salt) != len(realSalt) || iterations != realIterations {
		t.Errorf("s=%s,i=%s for nobody, s=%s,i=%s for an account", salt, iterations, realSalt, realIterations)
	}
	if again, _ := ask("NoBody", "SCRAM-SHA-256"); again != salt {
		t.Errorf("another salt for the same name: %s, %s", salt, again)
	}
	other, _ := ask("nobody2", "SCRAM-SHA-256")
	otherHash, _ := ask("nobody", "SCRAM-SHA-1")
	if other == salt || otherHash == salt {
		t.Error("one salt for two names or two hashes, as no account has it")
	}
	b, err := New(context.Background(), a.accounts.store, a.cfg) // after a restart
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := begin(t, b, "SCRAM-SHA-256", channel(somewhere)).Step(context.Background(), []byte("n,,n=nobody,r=x"))
	if err != nil || attribute(string(out), "s") != salt {
		t.Errorf("another salt after a restart: %s, %v", out, err)
	}
}

// Where accounts have different numbers of iterations, so have those that do not exist.
func TestUnknownUsersHaveTheIterationsOfOthers(t *testing.T) {
	a, _ := open(t, Config{})
	ctx := context.Background()
	err := a.accounts.store.Write(ctx, func(tx *storage.Tx) error {
		for i := range 40 {
			key, err := derive(SHA1, "pencil", []byte("salt"), 1+i%4/3) // three times 1, then 2
			if err != nil {
				return err
			}
			if _, err = a.Accounts().CreateTx(tx, address(fmt.Sprintf("user%d", i)), []Credential{key}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(ctx, a.accounts.store, a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for i := range 1000 {
		c := b.inventor.credential(SHA1, fmt.Sprintf("nobody%d@example.org", i))
		if c.Iterations != b.inventor.credential(SHA1, fmt.Sprintf("nobody%d@example.org", i)).Iterations {
			t.Fatal("not the same twice")
		}
		count[c.Iterations]++
	}
	if len(count) != 2 || count[1] < 650 || count[2] < 150 {
		t.Errorf("%v", count)
	}
	if got := b.inventor.credential(SHA512, "nobody").Iterations; got != a.cfg.Iterations {
		t.Errorf("%d iterations for a hash that nobody has", got)
	}
}

// An unknown account and a wrong password differ in nothing: step, condition, text, and
// the work done, counted and not timed.
func TestUnknownUserCostsTheSame(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	create(t, a, "gone", "pencil")
	if err := a.Accounts().Disable(context.Background(), address("gone")); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		f                       Failure
		hashed, proofs, lookups uint64
		steps                   int
	}
	run := func(mechanism, name, password string) outcome {
		before := a.Stats()
		var err error
		steps := 1
		if mechanism == "PLAIN" {
			_, _, err = begin(t, a, mechanism, channel(somewhere)).Step(context.Background(), []byte("\x00"+name+"\x00"+password))
		} else {
			c := &scramClient{hash: SHA256, name: name, password: password}
			_, err = c.login(context.Background(), begin(t, a, mechanism, channel(somewhere)))
			if c.challenge != "" {
				steps = 2
			}
		}
		a.lockout.addresses.Purge()
		var f *Failure
		if !errors.As(err, &f) {
			t.Fatalf("%s, %s: %v", mechanism, name, err)
		}
		after := a.Stats()
		return outcome{*f, after.Hashed - before.Hashed, after.Proofs - before.Proofs, after.Lookups - before.Lookups, steps}
	}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256"} {
		want := run(mechanism, "romeo", "wrong")
		if want.f.Condition != NotAuthorized || want.hashed+want.proofs != 1 || want.lookups != 1 {
			t.Errorf("%s: %+v", mechanism, want)
		}
		for _, name := range []string{"nobody", "gone"} {
			if got := run(mechanism, name, "wrong"); got != want {
				t.Errorf("%s: %s gives %+v, a wrong password %+v", mechanism, name, got, want)
			}
		}
	}
}

// That an account is disabled is told to its owner only.
func TestDisabledIsToldAfterTheProofOnly(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	create(t, a, "romeo", "pencil")
	ctx := context.Background()
	if err := a.Accounts().Disable(ctx, address("romeo")); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]string{"pencil": AccountDisabled, "wrong": NotAuthorized} {
		if got := try(t, a, channel(somewhere), "romeo", password); got != want {
			t.Errorf("SCRAM, %s: %q, want %q", password, got, want)
		}
		if _, got := tryPlain(t, a, channel(somewhere), "", "romeo", password); got != want {
			t.Errorf("PLAIN, %s: %q, want %q", password, got, want)
		}
	}
	if err := a.Accounts().Enable(ctx, address("romeo")); err != nil {
		t.Fatal(err)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != "" {
		t.Errorf("enabled again: %q", got)
	}
}

// What changes between the two steps counts.
func TestAccountChangesDuringLogin(t *testing.T) {
	ctx := context.Background()
	for name, test := range map[string]struct {
		change func(*Accounts) error
		want   string
	}{
		"deleted":      {func(a *Accounts) error { return a.Delete(ctx, address("romeo")) }, NotAuthorized},
		"disabled":     {func(a *Accounts) error { return a.Disable(ctx, address("romeo")) }, AccountDisabled},
		"new password": {func(a *Accounts) error { return a.SetPassword(ctx, address("romeo"), "pencil") }, NotAuthorized},
	} {
		a, _ := open(t, Config{})
		create(t, a, "romeo", "pencil")
		c := &scramClient{hash: SHA256, name: "romeo", password: "pencil"}
		x := begin(t, a, "SCRAM-SHA-256", channel(somewhere))
		c.final = func(m string) string {
			if err := test.change(a.Accounts()); err != nil {
				t.Fatal(err)
			}
			return m
		}
		_, err := c.login(ctx, x)
		if got := condition(t, err); got != test.want || x.Account().ID != 0 {
			t.Errorf("%s: %q as %v", name, got, x.Account())
		}
	}
}

// An account that has no credential for a hash looks like none.
func TestAccountWithoutTheHash(t *testing.T) {
	a, _ := open(t, Config{Plain: true})
	key, err := derive(SHA1, "pencil", []byte("salt"), minIterations)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	err = a.accounts.store.Write(ctx, func(tx *storage.Tx) error {
		if _, err := a.Accounts().CreateTx(tx, address("bare"), nil); err != nil {
			return err
		}
		_, err := a.Accounts().CreateTx(tx, address("romeo"), []Credential{key})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != NotAuthorized {
		t.Errorf("SCRAM-SHA-256: %q", got)
	}
	if _, got := tryPlain(t, a, channel(somewhere), "", "romeo", "pencil"); got != "" {
		t.Errorf("PLAIN: %q", got)
	}
	if _, got := tryPlain(t, a, channel(somewhere), "", "bare", "pencil"); got != NotAuthorized {
		t.Errorf("PLAIN without any credential: %q", got)
	}
}

package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/storage"
	"parley/xmpp"
)

func TestAccountLife(t *testing.T) {
	a, c := open(t, Config{})
	ctx := context.Background()
	acc := create(t, a, "romeo", "pencil")
	got, found, err := a.Accounts().Get(ctx, xmpp.MustJID("Romeo@example.org/phone"))
	if err != nil || !found || got != acc || !got.Created.Equal(c.now()) {
		t.Fatalf("%+v, %v, %v; made %+v", got, found, err, acc)
	}
	if _, err := a.Accounts().Create(ctx, address("romeo"), "other"); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for _, bad := range []string{"example.org", "romeo@example.org/phone"} {
		if _, err := a.Accounts().Create(ctx, xmpp.MustJID(bad), "pencil"); !errors.Is(err, ErrNoAccount) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := a.Accounts().SetPassword(ctx, address("romeo"), "pen"); err != nil {
		t.Fatal(err)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != NotAuthorized {
		t.Errorf("the old password: %q", got)
	}
	if got := try(t, a, channel(somewhere), "romeo", "pen"); got != "" {
		t.Errorf("the new password: %q", got)
	}
	if err := a.Accounts().Delete(ctx, address("romeo")); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := a.Accounts().Get(ctx, address("romeo")); found {
		t.Error("deleted and still there")
	}
	if again := create(t, a, "romeo", "pencil"); again.ID <= acc.ID {
		t.Errorf("the number %d of a deleted account was given again: %d", acc.ID, again.ID)
	}
	for name, fn := range map[string]func(context.Context, xmpp.JID) error{
		"Disable": a.Accounts().Disable, "Enable": a.Accounts().Enable, "Delete": a.Accounts().Delete,
		"SetPassword": func(ctx context.Context, j xmpp.JID) error { return a.Accounts().SetPassword(ctx, j, "x") },
	} {
		if err := fn(ctx, address("nobody")); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
}

func TestListPages(t *testing.T) {
	a, _ := open(t, Config{})
	ctx := context.Background()
	for i := range 5 {
		create(t, a, fmt.Sprintf("user%d", i), "pencil")
	}
	if _, err := a.Accounts().Create(ctx, xmpp.MustJID("user0@other.org"), "pencil"); err != nil {
		t.Fatal(err)
	}
	var got []string
	after := ""
	for {
		page, err := a.Accounts().List(ctx, host, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, acc := range page {
			got = append(got, acc.JID.Local())
			after = acc.JID.Local()
		}
	}
	if strings.Join(got, " ") != "user0 user1 user2 user3 user4" {
		t.Errorf("%v", got)
	}
	if n, err := a.Accounts().Count(ctx, host); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestPasswordsThatCannotBe(t *testing.T) {
	a, _ := open(t, Config{})
	for password, want := range map[string]string{
		"":                                  "is empty",
		"\u00ad":                            "nothing is left",
		"bell\u0007":                        "U+0007",
		"tab\t":                             "U+0009",
		"new \U0001F600":                    "U+1F600", // not in Unicode 3.2 (RFC 4013 §2.5)
		"\u06271":                           "SASLprep does not allow",
		"\xff":                              "UTF-8",
		strings.Repeat("x", MaxPassword+1):  "longer than 1023 bytes",
		strings.Repeat("\u2168", 340) + "a": "",               // 3 bytes become 2
		strings.Repeat("\ufdfa", 300):       "after SASLprep", // one letter becomes eighteen
	} {
		_, err := a.Accounts().Hash(context.Background(), password)
		var p *PasswordError
		switch {
		case want == "" && err != nil:
			t.Errorf("%.20q: %v", password, err)
		case want != "" && (!errors.As(err, &p) || !strings.Contains(err.Error(), want)):
			t.Errorf("%.20q: %v, want %q", password, err, want)
		}
	}
}

// RFC 4013 §3, and the difference between stored and query strings (RFC 3454 §7).
func TestSASLprep(t *testing.T) {
	for _, e := range [][2]string{{"I\u00adX", "IX"}, {"user", "user"}, {"USER", "USER"}, {"\u00aa", "a"}, {"\u2168", "IX"}} {
		if got, err := saslprep(e[0], true); err != nil || got != e[1] {
			t.Errorf("%q: %q, %v", e[0], got, err)
		}
	}
	for _, bad := range []string{"\u0007", "\u0627\u0031"} {
		if _, err := saslprep(bad, false); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
	const unassigned = "\U0001F600"
	if _, err := saslprep(unassigned, true); err == nil {
		t.Error("an unassigned code point was stored")
	}
	if got, err := saslprep(unassigned, false); err != nil || got != unassigned {
		t.Errorf("an unassigned code point in a query: %q, %v", got, err)
	}
}

func TestNothingOfThePasswordIsStored(t *testing.T) {
	a, _ := open(t, Config{})
	acc, again := create(t, a, "romeo", "pencil"), create(t, a, "julia", "pencil")
	keys, err := a.Accounts().Credentials(context.Background(), acc.ID)
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d, %v", len(keys), err)
	}
	others, err := a.Accounts().Credentials(context.Background(), again.ID)
	if err != nil {
		t.Fatal(err)
	}
	salts := map[string]bool{}
	for i, k := range append(keys, others...) {
		salted, err := derive(k.Hash, "pencil", k.Salt, k.Iterations)
		if err != nil || !bytes.Equal(salted.StoredKey, k.StoredKey) || bytes.Equal(k.StoredKey, k.ServerKey) {
			t.Errorf("credential %d is not that of the password: %v", i, err)
		}
		if len(k.Salt) != saltSize || salts[string(k.Salt)] {
			t.Errorf("salt %x", k.Salt)
		}
		salts[string(k.Salt)] = true
	}
}

func TestCredentialsFromElsewhereAreChecked(t *testing.T) {
	a, _ := open(t, Config{})
	good, _ := derive(SHA256, "pencil", []byte("salt"), minIterations)
	for name, change := range map[string]func(*Credential){
		"hash":       func(c *Credential) { c.Hash = "MD5" },
		"no salt":    func(c *Credential) { c.Salt = nil },
		"iterations": func(c *Credential) { c.Iterations = 0 },
		"too many":   func(c *Credential) { c.Iterations = maxIterations + 1 },
		"stored key": func(c *Credential) { c.StoredKey = c.StoredKey[1:] },
		"server key": func(c *Credential) { c.ServerKey = append(c.ServerKey, 0) },
		"other hash": func(c *Credential) { c.Hash = SHA1 },
	} {
		bad := good
		change(&bad)
		err := a.accounts.store.Write(context.Background(), func(tx *storage.Tx) error {
			_, err := a.Accounts().CreateTx(tx, address("romeo"), []Credential{bad})
			return err
		})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	err := a.accounts.store.Write(context.Background(), func(tx *storage.Tx) error {
		_, err := a.Accounts().CreateTx(tx, address("romeo"), []Credential{good, good})
		return err
	})
	if err == nil {
		t.Error("two of one hash: accepted")
	}
}

func TestLastLogin(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ctx := context.Background()
	last := func() time.Time {
		// An empty write stands behind what was kept.
		if err := a.accounts.store.Write(ctx, func(*storage.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		acc, _, err := a.Accounts().Get(ctx, address("romeo"))
		if err != nil {
			t.Fatal(err)
		}
		return acc.LastLogin
	}
	if !last().IsZero() {
		t.Error("a login before the first")
	}
	first := c.now()
	for _, step := range []struct {
		after time.Duration
		want  time.Time
	}{{0, first}, {30 * time.Minute, first}, {40 * time.Minute, first.Add(70 * time.Minute)}} {
		if err := c.sleep(ctx, step.after); err != nil {
			t.Fatal(err)
		}
		if got := try(t, a, channel(somewhere), "romeo", "pencil"); got != "" {
			t.Fatal(got)
		}
		if got := last(); !got.Equal(step.want) {
			t.Errorf("%v, want %v", got, step.want)
		}
	}
}

// TestEachAccount goes through more accounts than a page has, of one domain alone.
func TestEachAccount(t *testing.T) {
	a, _ := open(t, Config{Iterations: 4096})
	acc := a.Accounts()
	err := acc.store.Write(t.Context(), func(tx *storage.Tx) error {
		for i := range MaxPage + 5 {
			if _, err := acc.CreateTx(tx, address(fmt.Sprintf("u%05d", i)), nil); err != nil {
				return err
			}
		}
		_, err := acc.CreateTx(tx, xmpp.MustJID("other@example.net"), nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = acc.EachAccount(t.Context(), host, func(bare xmpp.JID) {
		if want := address(fmt.Sprintf("u%05d", n)); bare != want {
			t.Errorf("account %d is %s", n, bare)
		}
		n++
	})
	if err != nil || n != MaxPage+5 {
		t.Errorf("%d accounts: %v", n, err)
	}
}

package auth

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/storage"
	"parley/xmpp"
)

const (
	phone  = "d4565fa7-4d72-4749-b3d3-740edbf87770"
	laptop = "9f4c1e0a-3b6d-4c58-8a21-5d0f6b7e1c93"
)

func agentOf(id string) xmpp.UserAgent {
	return xmpp.UserAgent{ID: id, Software: "AwesomeXMPP", Device: "Kiva's Phone"}
}

// The hashes of a token, computed by another program.
func TestTokenVectors(t *testing.T) {
	const token = "WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm"
	binding := make([]byte, 32)
	for i := range binding {
		binding[i] = byte(i)
	}
	for _, v := range []struct {
		side    string
		binding []byte
		want    string
	}{
		{"Initiator", nil, "9097787461a184e0fa84ec00c1381190b6c4d16a8ec4453c7b2ac5e7fcf935ed"},
		{"Responder", nil, "4e513409631474863b986c9f3e8c1e27ca29d1d7ab9ed4097e7afd6007bf9c62"},
		{"Initiator", binding, "0c5745576afeea711960549186a31a65c9f328205ee38b66825b3d4c872b395c"},
		{"Responder", binding, "1260579b34d55aeba4e43062a412db609a0a7153abd218b0f148445c4e83529f"},
	} {
		if got := hex.EncodeToString(hashToken(token, v.side, v.binding)); got != v.want {
			t.Errorf("%s with %d bytes: %s", v.side, len(v.binding), got)
		}
	}
}

// enrol logs in with the password and asks for a token.
func enrol(t testing.TB, a *Auth, ch Channel, name, agent, mechanism string) Token {
	t.Helper()
	x := begin(t, a, "SCRAM-SHA-256", ch)
	if _, err := (&scramClient{hash: SHA256, name: name, password: "pencil"}).login(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	token, err := x.Admit(context.Background(), Visit{Agent: agentOf(agent), Mechanism: mechanism})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// bindingOf is what a client binds a mechanism to.
func bindingOf(mechanism string, ch Channel) []byte {
	switch mechanism {
	case TokenEndPoint:
		return ch.EndPoint
	case TokenExporter:
		return ch.Exporter
	}
	return nil
}

// show logs in with a token and returns the exchange and the condition, "" for success.
func show(t testing.TB, a *Auth, ch Channel, name, agent, mechanism, secret string) (*Exchange, string) {
	t.Helper()
	x, err := a.StartToken(context.Background(), mechanism, ch, agentOf(agent))
	if err != nil {
		return nil, condition(t, err)
	}
	out, done, err := x.Step(context.Background(), append([]byte(name+"\x00"), hashToken(secret, "Initiator", bindingOf(mechanism, ch))...))
	if err == nil && (!done || !bytes.Equal(out, hashToken(secret, "Responder", bindingOf(mechanism, ch)))) {
		t.Errorf("the server has not shown that it has the token: %x, %v", out, done)
	}
	return x, condition(t, err)
}

// admitted is show, and what a client gets that asks for nothing.
func admitted(t testing.TB, a *Auth, ch Channel, name, agent, mechanism, secret string) Token {
	t.Helper()
	x, got := show(t, a, ch, name, agent, mechanism, secret)
	if got != "" {
		t.Fatal(got)
	}
	next, err := x.Admit(context.Background(), Visit{Agent: agentOf(agent)})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func refusedWith(t testing.TB, a *Auth, ch Channel, name, agent, mechanism, secret, want string) {
	t.Helper()
	if _, got := show(t, a, ch, name, agent, mechanism, secret); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTokenMechanisms(t *testing.T) {
	a, _ := open(t, Config{})
	if got := fmt.Sprint(a.TokenMechanisms(channel(somewhere))); got != "[HT-SHA-256-ENDP HT-SHA-256-EXPR HT-SHA-256-NONE]" {
		t.Error(got)
	}
	if got := fmt.Sprint(a.TokenMechanisms(unbound(somewhere))); got != "[HT-SHA-256-NONE]" {
		t.Error(got)
	}
	if got := a.TokenMechanisms(Channel{Clear: true}); len(got) != 0 {
		t.Errorf("in clear: %v", got)
	}
	b, _ := open(t, Config{NoChannelBinding: true})
	if got := fmt.Sprint(b.TokenMechanisms(channel(somewhere))); got != "[HT-SHA-256-NONE]" {
		t.Error(got)
	}
	a.Accounts().SetDevices(DevicePolicy{Lifetime: -1})
	if got := a.TokenMechanisms(channel(somewhere)); len(got) != 0 {
		t.Errorf("switched off: %v", got)
	}
}

// A token is good for the client and the mechanism it was asked for, on a connection that
// is bound to the same thing, as often as it is used.
func TestTokenLogin(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	create(t, a, "juliet", "pencil")
	for _, m := range []string{TokenEndPoint, TokenExporter, TokenUnbound} {
		ch := channel(somewhere)
		token := enrol(t, a, ch, "romeo", phone, m)
		if len(token.Secret) != 43 || !token.Expires.Equal(a.cfg.Now().Truncate(time.Second).Add(21*24*time.Hour)) {
			t.Errorf("%+v", token)
		}
		for range 3 {
			if next := admitted(t, a, ch, "romeo", phone, m, token.Secret); next.Secret != "" {
				t.Error("another token at once")
			}
		}
		refusedWith(t, a, ch, "romeo", laptop, m, token.Secret, NotAuthorized)
		refusedWith(t, a, ch, "juliet", phone, m, token.Secret, NotAuthorized)
		refusedWith(t, a, ch, "nobody", phone, m, token.Secret, NotAuthorized)
		refusedWith(t, a, ch, "romeo", phone, m, token.Secret[:42]+"!", NotAuthorized)
		refusedWith(t, a, ch, "romeo", "", m, token.Secret, MalformedRequest)
		for _, other := range []string{TokenEndPoint, TokenExporter, TokenUnbound} {
			if other != m { // XEP-0484 §3.4
				refusedWith(t, a, ch, "romeo", phone, other, token.Secret, NotAuthorized)
			}
		}
		if m != TokenUnbound { // the same bytes on another connection
			elsewhere := channel(somewhere)
			elsewhere.Exporter, elsewhere.EndPoint = []byte("another secret, also 32 bytes..."), []byte("another certificate")
			x, err := a.StartToken(context.Background(), m, elsewhere, agentOf(phone))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = x.Step(context.Background(), append([]byte("romeo\x00"), hashToken(token.Secret, "Initiator", bindingOf(m, ch))...))
			wantCondition(t, err, NotAuthorized)
		}
	}
}

// What a client that is not known sends is answered alike, and costs the same look-ups.
func TestUnknownTokens(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	token := enrol(t, a, channel(somewhere), "romeo", phone, TokenUnbound)
	said := map[string]string{}
	for name, try := range map[string][3]string{
		"wrong token":  {"romeo", phone, "x"},
		"wrong client": {"romeo", laptop, token.Secret},
		"nobody":       {"nobody", phone, token.Secret},
	} {
		x, err := a.StartToken(context.Background(), TokenUnbound, unbound(somewhere), agentOf(try[1]))
		if err != nil {
			t.Fatal(err)
		}
		before := a.Stats().Lookups
		_, _, err = x.Step(context.Background(), append([]byte(try[0]+"\x00"), hashToken(try[2], "Initiator", nil)...))
		said[fmt.Sprint(err, a.Stats().Lookups-before)] += name + " "
	}
	if len(said) != 1 {
		t.Errorf("they can be told apart: %v", said)
	}
}

func TestMalformedTokenMessages(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for _, in := range []string{"", "\x00", "romeo", "romeo\x00", "romeo\x00short", "\x00" + strings.Repeat("x", 32), "romeo\x00" + strings.Repeat("x", 33), strings.Repeat("x", MaxMessage+1)} {
		x, err := a.StartToken(context.Background(), TokenUnbound, unbound(somewhere), agentOf(phone))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = x.Step(context.Background(), []byte(in))
		wantCondition(t, err, MalformedRequest)
	}
}

// Guessing tokens is counted as guessing passwords is.
func TestTokenGuessingIsSlowed(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	for range 8 {
		refusedWith(t, a, channel(somewhere), "romeo", phone, TokenUnbound, "guess", NotAuthorized)
	}
	if c.waited() == 0 {
		t.Error("nobody had to wait")
	}
	for range 20 {
		show(t, a, channel(somewhere), "romeo", phone, TokenUnbound, "guess")
	}
	refusedWith(t, a, channel(somewhere), "romeo", phone, TokenUnbound, "guess", TemporaryAuthFailure)
}

// XEP-0484 §3.5: the old token stays good until the new one is used, and not longer; one
// that never was used is worth nothing when the next is given out.
func TestRotation(t *testing.T) {
	a, c := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	login := func(secret string) Token {
		t.Helper()
		return admitted(t, a, ch, "romeo", phone, TokenExporter, secret)
	}
	first := enrol(t, a, ch, "romeo", phone, TokenExporter)
	login(first.Secret)
	c.sleep(context.Background(), 25*time.Hour)
	second := login(first.Secret)
	if second.Secret == "" || second.Secret == first.Secret || !second.Expires.After(first.Expires) {
		t.Fatalf("no new token after a day: %+v", second)
	}
	third := login(first.Secret) // the second has not arrived, say
	if third.Secret == "" || third.Secret == second.Secret {
		t.Fatalf("%+v", third)
	}
	refusedWith(t, a, ch, "romeo", phone, TokenExporter, second.Secret, NotAuthorized)
	if again := login(third.Secret); again.Secret != "" {
		t.Error("a new token is followed by another at once")
	}
	refusedWith(t, a, ch, "romeo", phone, TokenExporter, first.Secret, NotAuthorized)
	login(third.Secret)
}

// XEP-0484 §4.2
func TestTokenExpiry(t *testing.T) {
	a, c := open(t, Config{Devices: DevicePolicy{Lifetime: 2 * time.Hour}})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	token := enrol(t, a, ch, "romeo", phone, TokenUnbound)
	c.sleep(context.Background(), 2*time.Hour-time.Second)
	next := admitted(t, a, ch, "romeo", phone, TokenUnbound, token.Secret)
	c.sleep(context.Background(), time.Second)
	refusedWith(t, a, ch, "romeo", phone, TokenUnbound, token.Secret, CredentialsExpired)
	refusedWith(t, a, ch, "romeo", phone, TokenUnbound, "guess", NotAuthorized)
	admitted(t, a, ch, "romeo", phone, TokenUnbound, next.Secret)
	a.Accounts().SetDevices(DevicePolicy{Lifetime: -1})
	refusedWith(t, a, ch, "romeo", phone, TokenUnbound, next.Secret, InvalidMechanism)
}

// XEP-0484 §3.6
func TestInvalidate(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	token := enrol(t, a, ch, "romeo", phone, TokenUnbound)
	x, got := show(t, a, ch, "romeo", phone, TokenUnbound, token.Secret)
	if got != "" {
		t.Fatal(got)
	}
	if next, err := x.Admit(context.Background(), Visit{Agent: agentOf(phone), Invalidate: true}); err != nil || next.Secret != "" {
		t.Errorf("%+v, %v", next, err)
	}
	refusedWith(t, a, ch, "romeo", phone, TokenUnbound, token.Secret, NotAuthorized)

	token = enrol(t, a, ch, "romeo", phone, TokenUnbound)
	x, _ = show(t, a, ch, "romeo", phone, TokenUnbound, token.Secret)
	next, err := x.Admit(context.Background(), Visit{Agent: agentOf(phone), Invalidate: true, Mechanism: TokenExporter})
	if err != nil || next.Secret == "" {
		t.Fatalf("%+v, %v", next, err)
	}
	refusedWith(t, a, ch, "romeo", phone, TokenUnbound, token.Secret, NotAuthorized)
	admitted(t, a, ch, "romeo", phone, TokenExporter, next.Secret)
}

// What takes access away takes tokens, too, also while somebody is about to log in.
func TestTokensAreTakenBack(t *testing.T) {
	ctx := context.Background()
	for name, take := range map[string]func(*Auth) error{
		"password": func(a *Auth) error { return a.Accounts().SetPassword(ctx, address("romeo"), "pencil2") },
		"disabled": func(a *Auth) error { return a.Accounts().Disable(ctx, address("romeo")) },
		"removed":  func(a *Auth) error { return a.Accounts().Delete(ctx, address("romeo")) },
		"kicked":   func(a *Auth) error { return a.Accounts().DropTokens(ctx, address("romeo"), phone) },
		"all":      func(a *Auth) error { return a.Accounts().DropTokens(ctx, address("romeo")) },
		"revoked": func(a *Auth) error {
			acc, _, _ := a.Accounts().Get(ctx, address("romeo"))
			_, err := a.Accounts().RevokeDevices(ctx, acc.ID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, c := open(t, Config{})
			create(t, a, "romeo", "pencil")
			ch := channel(somewhere)
			token := enrol(t, a, ch, "romeo", phone, TokenUnbound)
			other := enrol(t, a, ch, "romeo", laptop, TokenUnbound)
			admitted(t, a, ch, "romeo", phone, TokenUnbound, token.Secret)
			c.sleep(ctx, 25*time.Hour)
			x, got := show(t, a, ch, "romeo", phone, TokenUnbound, token.Secret)
			if got != "" {
				t.Fatal(got)
			}
			if err := take(a); err != nil {
				t.Fatal(err)
			}
			if next, err := x.Admit(ctx, Visit{Agent: agentOf(phone)}); err == nil {
				t.Errorf("a token for one that has been taken back: %+v", next)
			}
			refusedWith(t, a, ch, "romeo", phone, TokenUnbound, token.Secret, NotAuthorized)
			if name == "kicked" {
				admitted(t, a, ch, "romeo", laptop, TokenUnbound, other.Secret)
			} else {
				refusedWith(t, a, ch, "romeo", laptop, TokenUnbound, other.Secret, NotAuthorized)
			}
		})
	}
}

// A login with the old password gets no token after the password was changed.
func TestNoTokenForAnOldPassword(t *testing.T) {
	a, _ := open(t, Config{})
	create(t, a, "romeo", "pencil")
	x := begin(t, a, "SCRAM-SHA-256", channel(somewhere))
	if _, err := (&scramClient{hash: SHA256, name: "romeo", password: "pencil"}).login(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	if err := a.Accounts().SetPassword(context.Background(), address("romeo"), "other"); err != nil {
		t.Fatal(err)
	}
	_, err := x.Admit(context.Background(), Visit{Agent: agentOf(phone), Mechanism: TokenUnbound})
	wantCondition(t, err, NotAuthorized)
}

// Thousands of clients and tokens leave as many rows as are allowed.
func TestFloodOfTokens(t *testing.T) {
	a, c := open(t, Config{Devices: DevicePolicy{Most: 20}})
	acc := create(t, a, "romeo", "pencil")
	ch := channel(somewhere)
	x := begin(t, a, "SCRAM-SHA-256", ch)
	if _, err := (&scramClient{hash: SHA256, name: "romeo", password: "pencil"}).login(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	var last Token
	for i := range 2000 {
		if i%7 == 0 {
			c.sleep(context.Background(), time.Second)
		}
		var err error
		agent := agentOf(fmt.Sprintf("%08x-0000-4000-8000-000000000000", i/2))
		if last, err = x.Admit(context.Background(), Visit{Agent: agent, Mechanism: TokenUnbound}); err != nil || last.Secret == "" {
			t.Fatal(last, err)
		}
	}
	var clients, tokens int
	err := a.accounts.store.Read(context.Background(), func(tx *storage.Tx) error {
		if _, err := tx.One("select count(*) from client where account = $1", []any{acc.ID}, &clients); err != nil {
			return err
		}
		_, err := tx.One("select count(*) from token", nil, &tokens)
		return err
	})
	if err != nil || clients != 20 || tokens != 20 {
		t.Errorf("%d clients, %d tokens, %v", clients, tokens, err)
	}
	admitted(t, a, ch, "romeo", "000003e7-0000-4000-8000-000000000000", TokenUnbound, last.Secret)
}

// What is stored is neither the token nor enough to make it.
func TestStoredTokenIsNoToken(t *testing.T) {
	a, _ := open(t, Config{})
	acc := create(t, a, "romeo", "pencil")
	token := enrol(t, a, channel(somewhere), "romeo", phone, TokenUnbound)
	list := []storedToken{}
	err := a.accounts.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		list, err = tokensOf(tx, acc.ID, phone)
		return err
	})
	if err != nil || len(list) != 1 || len(list[0].seed)*8 < 128 {
		t.Fatalf("%+v, %v", list, err)
	}
	foreign := keeper{make([]byte, 32)}
	if strings.Contains(token.Secret, string(list[0].seed)) || foreign.secret(acc.ID, phone, list[0]) == token.Secret {
		t.Error("the token can be made from its row")
	}
	if a.keeper.secret(acc.ID, phone, list[0]) != token.Secret {
		t.Error("the token cannot be made again")
	}
}

package auth

import (
	"context"
	"testing"

	"parley/xmpp"
)

// The server's part of a SCRAM login: parsing, two reads of the database, the proof. The
// client's part is done beforehand, so the nonce is fixed.
func BenchmarkSCRAM(b *testing.B) {
	for _, h := range hashes() {
		b.Run(string(h), func(b *testing.B) {
			a, first, final := prepared(b, h)
			ch := channel(somewhere)
			offered := a.Mechanisms(ch)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				x, err := a.Start(ctx, "SCRAM-"+string(h), ch, offered)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err = x.Step(ctx, first); err != nil {
					b.Fatal(err)
				}
				if _, done, err := x.Step(ctx, final); err != nil || !done {
					b.Fatal(err)
				}
			}
		})
	}
}

// prepared returns an Auth and the two messages of a client that fit its fixed nonce.
func prepared(b testing.TB, h Hash) (a *Auth, first, final []byte) {
	b.Helper()
	a, _ = open(b, Config{})
	a.nonce = func() (string, error) { return "3rfcNHYJY1ZVvWVs7j+3rfcNHYJY1ZVvWVs7j", nil }
	create(b, a, "romeo", "pencil")
	c := &scramClient{hash: h, name: "romeo", password: "pencil"}
	bare := "n=romeo,r=rOprNGfwEbeRWgbNEkqO"
	first = []byte(c.header() + bare)
	out, _, err := begin(b, a, "SCRAM-"+string(h), channel(somewhere)).Step(context.Background(), first)
	if err != nil {
		b.Fatal(err)
	}
	text, err := c.answer(bare, string(out))
	if err != nil {
		b.Fatal(err)
	}
	return a, first, []byte(text)
}

// The arithmetic alone, without the database.
func BenchmarkSCRAMProof(b *testing.B) {
	for _, h := range hashes() {
		b.Run(string(h), func(b *testing.B) {
			key, err := derive(h, "pencil", []byte("salt"), minIterations)
			if err != nil {
				b.Fatal(err)
			}
			message := []byte("n=romeo,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000,c=biws")
			proof := make([]byte, h.size())
			b.ReportAllocs()
			for b.Loop() {
				if key.proves(message, proof) {
					b.Fatal("proved")
				}
				key.signature(message)
			}
		})
	}
}

func BenchmarkPlain(b *testing.B) {
	a, _ := open(b, Config{Plain: true, Iterations: 10000})
	create(b, a, "romeo", "pencil")
	ch := channel(somewhere)
	for b.Loop() {
		x := begin(b, a, "PLAIN", ch)
		if _, _, err := x.Step(context.Background(), []byte("\x00romeo\x00pencil")); err != nil {
			b.Fatal(err)
		}
	}
}

// The proof must stay cheap: what it allocates is what the standard library's HMAC does.
func TestSCRAMAllocations(t *testing.T) {
	a, first, final := prepared(t, SHA256)
	ch := channel(somewhere)
	offered := a.Mechanisms(ch)
	ctx := context.Background()
	allocs := testing.AllocsPerRun(50, func() {
		x, err := a.Start(ctx, "SCRAM-SHA-256", ch, offered)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = x.Step(ctx, first); err != nil {
			t.Fatal(err)
		}
		if _, _, err = x.Step(ctx, final); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 130 {
		t.Errorf("%.0f allocations a login", allocs)
	}
}

// An address is prepared once in a login, and ASCII costs nothing.
func TestNamePreparationIsCheap(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { accountOf("romeo", host) }); n > 1 {
		t.Errorf("%.0f allocations", n)
	}
	if j, err := accountOf("romeo", host); err != nil || j != xmpp.MustJID("romeo@example.org") {
		t.Errorf("%v, %v", j, err)
	}
}

// The server's part of a login with a token: one message, one read of the database, four
// hashes.
func BenchmarkToken(b *testing.B) {
	a, _ := open(b, Config{})
	create(b, a, "romeo", "pencil")
	ch := channel(somewhere)
	token := enrol(b, a, ch, "romeo", phone, TokenExporter)
	admitted(b, a, ch, "romeo", phone, TokenExporter, token.Secret) // from now on it is the one in use
	ctx := context.Background()
	in := append([]byte("romeo\x00"), hashToken(token.Secret, "Initiator", ch.Exporter)...)
	b.ReportAllocs()
	for b.Loop() {
		x, err := a.StartToken(ctx, TokenExporter, ch, agentOf(phone))
		if err != nil {
			b.Fatal(err)
		}
		if _, done, err := x.Step(ctx, in); err != nil || !done {
			b.Fatal(err)
		}
		if _, err := x.Admit(ctx, Visit{Agent: agentOf(phone)}); err != nil {
			b.Fatal(err)
		}
	}
}

package auth

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// What parses is made of the parts that it is said to be made of, and is text.
func FuzzClientFirst(f *testing.F) {
	for _, s := range []string{
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "y,a=u=2Cx,n=u=3D,r=x", "p=tls-exporter,,n=u,r=x,e=f", "n,,m=x,n=u,r=x", "p=,,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseClientFirst(s)
		if err != nil {
			isFailure(t, err)
			return
		}
		if m.header+m.bare != s || !utf8.ValidString(s) || strings.Count(m.header, ",") != 2 {
			t.Errorf("%q is not %q and %q", s, m.header, m.bare)
		}
		if m.name == "" || m.nonce == "" || len(m.nonce) > MaxNonce || strings.ContainsAny(m.nonce, ", \x7f") {
			t.Errorf("%q: name %q, nonce %q", s, m.name, m.nonce)
		}
		if !strings.HasPrefix(m.bare, "n="+encodeName(m.name)+",r="+m.nonce) {
			t.Errorf("%q: name %q", s, m.name)
		}
		if (m.flag == 'p') != (m.binding != "") || !strings.HasPrefix(s, string(m.flag)) {
			t.Errorf("%q: flag %c, binding %q", s, m.flag, m.binding)
		}
	})
}

func encodeName(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "=", "=3D"), ",", "=2C")
}

func FuzzClientFinal(f *testing.F) {
	for _, s := range []string{
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "c=,r=,x=y,p=", "m=1,c=,r=,p=AAAA",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseClientFinal(s)
		if err != nil {
			isFailure(t, err)
			return
		}
		if m.unproved+",p="+base64.StdEncoding.EncodeToString(m.proof) != s {
			t.Errorf("%q is not %q and a proof", s, m.unproved)
		}
		if !strings.HasPrefix(m.unproved, "c="+m.binding+",r="+m.nonce) {
			t.Errorf("%q: binding %q, nonce %q", s, m.binding, m.nonce)
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add("\x00romeo\x00pencil")
	f.Add("a\x00b\x00c")
	f.Fuzz(func(t *testing.T, s string) {
		authzid, name, password, ok := parsePlain([]byte(s))
		if ok != (strings.Count(s, "\x00") == 2 && utf8.ValidString(s) && name != "" && password != "") {
			t.Errorf("%q: %v", s, ok)
		}
		if ok && authzid+"\x00"+name+"\x00"+password != s {
			t.Errorf("%q: %q %q %q", s, authzid, name, password)
		}
	})
}

func isFailure(t *testing.T, err error) {
	var f *Failure
	if !errors.As(err, &f) || f.Condition != MalformedRequest && f.Condition != NotAuthorized {
		t.Errorf("%v", err)
	}
}

// Whatever a client sends as a token, nobody is let in, and the failure has a condition.
func FuzzToken(f *testing.F) {
	a, _ := open(f, Config{Throttle: Throttle{AddressFree: 1 << 30, AddressLimit: 1 << 30, AccountFree: 1 << 30}})
	create(f, a, "romeo", "pencil")
	enrol(f, a, channel(somewhere), "romeo", phone, TokenUnbound)
	for _, s := range []string{"", "romeo", "romeo\x00", "romeo\x00" + strings.Repeat("x", 32), "\x00\x00", "romeo@example.org\x00" + strings.Repeat("\x00", 32), "\xff\x00" + strings.Repeat("x", 32)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		x, err := a.StartToken(t.Context(), TokenUnbound, unbound(somewhere), agentOf(phone))
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Step(t.Context(), in)
		if err == nil {
			if done || in != nil {
				t.Fatalf("%q was let in", in)
			}
			return
		}
		isFailure(t, err)
	})
}

package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
)

// Logins, password changes, and certificates that are replaced, all at once. It is for
// the race detector, and nobody is let in or kept out by it who must not.
func TestAllAtOnce(t *testing.T) {
	a, c := open(t, Config{Plain: true, Throttle: Throttle{AddressFree: 1000, AddressLimit: 1000, AccountFree: 1000}})
	create(t, a, "romeo", "pencil")
	create(t, a, "julia", "old")
	certs := openCerts(t, c, HostCert{Host: host})
	side := certs.Server(TLSOptions{})
	ctx := context.Background()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			ch := channel(fmt.Sprintf("192.0.2.%d", i))
			for range 10 {
				if got := try(t, a, ch, "romeo", "pencil"); got != "" {
					t.Errorf("SCRAM: %q", got)
				}
				if _, got := tryPlain(t, a, ch, "", "romeo", "wrong"); got != NotAuthorized {
					t.Errorf("PLAIN with a wrong password: %q", got)
				}
				if got := try(t, a, ch, "julia", "neither"); got != NotAuthorized {
					t.Errorf("between two passwords: %q", got)
				}
			}
		})
	}
	all.Go(func() {
		for range 5 {
			if err := a.Accounts().SetPassword(ctx, address("julia"), "new"); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for range 10 {
			if err := certs.Reload(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		if _, _, err := dial(t, side, &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	if s := a.Stats(); s.Succeeded != 40 || s.Failed != 80 {
		t.Errorf("%+v", s)
	}
}

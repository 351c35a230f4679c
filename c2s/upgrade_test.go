package c2s_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/auth"
	"parley/storage"
	"parley/xmpp"
	"parley/xmpp/xmpptest"
)

// imported makes a store with an account that has come from a server with one verifier.
func imported(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	store, err := storage.Open(t.Context(), storage.Config{Dir: dir}, auth.Schema())
	if err != nil {
		t.Fatal(err)
	}
	accounts := auth.NewAccounts(store, auth.Config{Iterations: 4096})
	keys, err := accounts.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	keys = slices.DeleteFunc(keys, func(c auth.Credential) bool { return c.Hash != auth.SHA1 })
	err = store.Write(t.Context(), func(tx *storage.Tx) error {
		_, err := accounts.CreateTx(tx, xmpp.MustJID("romeo@"+host), keys)
		return err
	})
	if err := errors.Join(err, store.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return dir
}

// derive computes a SaltedPassword as a client does (RFC 5802 §3).
func derive(t testing.TB, hash, salt, iterations string) []byte {
	t.Helper()
	n, err := strconv.Atoi(iterations)
	if err != nil {
		t.Fatal(err)
	}
	var key []byte
	if hash == "SHA-512" {
		key, err = pbkdf2.Key(sha512.New, password, []byte(salt), n, sha512.Size)
	} else {
		key, err = pbkdf2.Key(sha256.New, password, []byte(salt), n, sha256.Size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// XEP-0480 over the wire: an account that has come from elsewhere with one verifier.
func TestUpgradeTask(t *testing.T) {
	h := open(t, func(p *plan) { p.dir = imported(t) })
	c := h.dial()
	if f := c.Features.String(); !strings.Contains(f, "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade><upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>") {
		t.Fatalf("%s", f)
	}
	upgrade := func(names ...string) (all string) {
		for _, n := range names {
			all += "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>" + n + "</upgrade>"
		}
		return userAgent(phone) + wish(auth.TokenUnbound) + all
	}
	login := xmpptest.Login{User: "romeo", Password: password, Mechanism: "SCRAM-SHA-1", SASL2: true, Extra: upgrade("UPGR-SCRAM-SHA-512", "UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-1")}
	st, err := c.Authenticate(login)
	for _, task := range []string{"SHA-512", "SHA-256"} {
		if err != nil || st.Name.Local != "continue" || !strings.Contains(st.String(), "<tasks><task>UPGR-SCRAM-"+task+"</task></tasks>") {
			t.Fatalf("%v %v", st, err)
		}
		if task == "SHA-512" && !strings.HasPrefix(decoded(t, st.Child(nsSASL2, "additional-data").Text()), "v=") {
			t.Errorf("the server's signature is missing: %s", st)
		}
		c.Say("<next xmlns='%s' task='UPGR-SCRAM-%s'/>", nsSASL2, task)
		salt := c.Expect("<task-data", "<salt").Child("urn:xmpp:scram-upgrade:0", "salt")
		c.Say("<task-data xmlns='%s'><hash xmlns='urn:xmpp:scram-upgrade:0'>%s</hash></task-data>", nsSASL2, saltedPassword(t, task, salt))
		st, err = c.Read()
	}
	if err != nil || st.Name.Local != "success" || st.Child(nsFast, "token").IsZero() || !st.Child(nsSASL2, "additional-data").IsZero() {
		t.Fatalf("%v %v", st, err)
	}
	if err := c.LoggedIn(login, st); err != nil {
		t.Fatal(err)
	}
	c.Ping(nil)
	c.Bye()
	for _, hash := range []string{"SHA-1", "SHA-256", "SHA-512"} {
		c := h.dial()
		if strings.Contains(c.Features.String(), "UPGR-") {
			t.Errorf("still announced: %s", c.Features)
		}
		signIn(t, c, xmpptest.Login{User: "romeo", Password: password, Mechanism: "SCRAM-" + hash, Extra: upgrade("UPGR-SCRAM-SHA-256")})
		c.Bye()
	}
}

// A task that fails ends the stream, and nobody is logged in (XEP-0388 §4.8).
func TestUpgradeTaskFails(t *testing.T) {
	h := open(t, func(p *plan) { p.dir = imported(t) })
	data := "<task-data xmlns='" + nsSASL2 + "'>%s</task-data>"
	for _, fail := range []struct{ next, data, condition string }{
		{"<abort xmlns='" + nsSASL2 + "'/>", "", "aborted"},
		{"<next xmlns='" + nsSASL2 + "' task='UPGR-SCRAM-SHA-512'/>", "", "malformed-request"},
		{"", strings.Replace(data, "%s", "", 1), "malformed-request"},
		{"", strings.Replace(data, "%s", "<hash xmlns='urn:xmpp:scram-upgrade:0'>!</hash>", 1), "incorrect-encoding"},
		{"", strings.Replace(data, "%s", "<hash xmlns='urn:xmpp:scram-upgrade:0'>AAAA</hash>", 1), "malformed-request"},
		{"", "<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>", ""},
		{"<authenticate xmlns='" + nsSASL2 + "' mechanism='SCRAM-SHA-1'/>", "", ""},
	} {
		c := h.dial()
		st, err := c.Authenticate(xmpptest.Login{User: "romeo", Password: password, Mechanism: "SCRAM-SHA-1", SASL2: true,
			Extra: "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"})
		if err != nil || st.Name.Local != "continue" {
			t.Fatalf("%v %v", st, err)
		}
		if fail.next != "" {
			c.Say("%s", fail.next)
		} else {
			c.Say("<next xmlns='%s' task='UPGR-SCRAM-SHA-256'/>", nsSASL2)
			c.Expect("<salt")
			c.Say("%s", fail.data)
		}
		if fail.condition != "" {
			c.Expect("<failure", "<"+fail.condition)
		}
		c.ExpectEnd("not-authorized")
	}
	if n := h.router.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// saltedPassword is what the client answers (XEP-0480 §3).
func saltedPassword(t testing.TB, hash string, salt xmpp.Element) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(derive(t, hash, decoded(t, salt.Text()), salt.Attr("iterations")))
}

package mam_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/roster"
	"parley/router/routertest"
	"parley/xep/mam"
	"parley/xmpp"
)

const prefs = `<prefs xmlns='urn:xmpp:mam:2'%s>%s</prefs>`

// TestPreferences: what is said of whom decides what is archived, across a restart of the
// account too (XEP-0441 §2.3).
func TestPreferences(t *testing.T) {
	archive := mam.Archive{}
	lim := &mam.Limits{Archive: func(string) mam.Archive { return archive }}
	s := playWith(t, lim, roster.New())
	people := map[string]*routertest.Actor{}
	for _, who := range []string{"romeo@example.com/desk", "romeo@example.com/garden", "nurse@example.com/x", "paris@example.com/x"} {
		people[who] = s.Online(who)
	}
	s.juliet.Comes("<presence/>")
	s.juliet.Does(`<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com'/></query></iq>`)
	check := func(what, want string) {
		t.Helper()
		s.juliet.Forgets()
		_, answer := s.asks("set", form(rsm("<max>0</max>")))
		before := finOf(t, answer).count
		for _, who := range []string{"romeo@example.com/desk", "romeo@example.com/garden", "nurse@example.com/x", "paris@example.com/x"} {
			people[who].Sends(fmt.Sprintf("<message to='juliet@example.com/balcony' type='chat' id='from-%s'><body>x</body></message>", who[:strings.IndexByte(who, '@')]+who[strings.IndexByte(who, '/'):]))
			s.juliet.Sends(fmt.Sprintf("<message to='%s' type='chat' id='to-%s'><body>x</body></message>", who, who[:strings.IndexByte(who, '@')]+who[strings.IndexByte(who, '/'):]))
		}
		s.juliet.Forgets()
		results, _ := s.asks("set", form(rsm("<max>100</max><index>"+before+"</index>")))
		if got := names(results); got != want {
			t.Errorf("%s: %q instead of %q", what, got, want)
		}
	}
	both := func(list ...string) string {
		var all []string
		for _, who := range list {
			all = append(all, "from-"+who, "to-"+who)
		}
		return strings.Join(all, " ")
	}
	sets := func(attrs, inside string) {
		t.Helper()
		_, answer := s.asks("set", fmt.Sprintf(prefs, attrs, inside))
		if answer.Type != "result" {
			t.Fatalf("%s", answer)
		}
	}
	everybody := both("romeo/desk", "romeo/garden", "nurse/x", "paris/x")
	check("the default", everybody)
	archive.Default = mam.PolicyNever
	check("the server's never", "")
	archive.Default = mam.PolicyRoster
	check("the server's roster", both("nurse/x"))
	sets(" default='always'", "")
	check("the user's always", everybody)
	sets(" default='always'", "<never><jid>romeo@example.com</jid></never>")
	check("never with romeo", both("nurse/x", "paris/x"))
	sets(" default='never'", "<always><jid>romeo@example.com/desk</jid><jid>Paris@Example.com</jid></always>")
	check("always with a desk", both("romeo/desk", "paris/x"))
	sets(" default='roster'", "<never><jid>nurse@example.com/x</jid></never><always><jid>romeo@example.com</jid></always>")
	check("roster and lists", both("romeo/desk", "romeo/garden"))
	sets(" default='always'", "<never><jid>romeo@example.com</jid></never><always><jid>romeo@example.com/desk</jid></always>")
	check("a full address before a bare one", both("romeo/desk", "nurse/x", "paris/x"))
	s.Router.Forget(xmpp.MustJID("juliet@example.com"), xmpp.EndStream("reset", ""))
	s.juliet = s.Online("juliet@example.com/balcony")
	check("loaded again", both("romeo/desk", "nurse/x", "paris/x"))
}

// TestPreferencesOnTheWire: requests and answers of XEP-0441 §2.1.
func TestPreferencesOnTheWire(t *testing.T) {
	s := play(t, mam.Archive{Default: mam.PolicyRoster})
	get := fmt.Sprintf(prefs, "", "")
	_, answer := s.asks("get", get)
	if why := routertest.Match(`<iq type='result'><prefs xmlns='urn:xmpp:mam:2' default='roster'><always/><never/></prefs></iq>`, answer); why != "" {
		t.Error(why)
	}
	const applied = `<iq type='result'><prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>romeo@montague.lit</jid></always><never><jid>a@b.example</jid><jid>montague@montague.lit/x</jid></never></prefs></iq>`
	_, answer = s.asks("set", fmt.Sprintf(prefs, " default='never'", "<never><jid> montague@Montague.lit/x </jid><jid>a@b.example</jid></never><always><jid>romeo@montague.lit</jid><jid>romeo@montague.lit</jid></always>"))
	if why := routertest.Match(applied, answer); why != "" {
		t.Error(why)
	}
	_, answer = s.asks("get", get)
	if why := routertest.Match(applied, answer); why != "" {
		t.Error(why)
	}
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "<jid>u%d@example.com</jid>", i)
	}
	for query, condition := range map[string]string{
		get: "bad-request",
		fmt.Sprintf(prefs, " default='sometimes'", ""):                                                          "bad-request",
		fmt.Sprintf(prefs, " default='always'", "<never><jid>@</jid></never>"):                                  "jid-malformed",
		fmt.Sprintf(prefs, " default='always'", "<never><jid>a@b</jid></never><always><jid>a@b</jid></always>"): "bad-request",
		fmt.Sprintf(prefs, " default='always'", "<never>"+many.String()+"</never>"):                             "policy-violation",
	} {
		_, answer := s.asks("set", query)
		refused(t, query[:min(60, len(query))], answer, condition)
	}
	mallory := s.Connected("mallory@example.com/x")
	for _, typ := range []string{"get", "set"} {
		for _, whose := range []string{"juliet@example.com", "nobody@example.com"} {
			_, answer := s.asksAs(mallory, typ, whose, fmt.Sprintf(prefs, " default='never'", ""))
			refused(t, typ, answer, "forbidden")
		}
	}
	_, answer = s.asks("get", get)
	if why := routertest.Match(applied, answer); why != "" {
		t.Errorf("after all that was refused: %s", why)
	}
}

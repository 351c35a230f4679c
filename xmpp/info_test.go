package xmpp_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"strings"
	"testing"

	"parley/xmpp"
)

// info reads the content of an answer.
func info(t testing.TB, content string) xmpp.Info {
	t.Helper()
	st, err := xmpp.ParseStanza(`<iq type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#info'>` + content + `</query></iq>`)
	if err != nil {
		t.Fatal(err)
	}
	in, ok := xmpp.ParseInfo(st.Payload())
	if !ok {
		t.Fatal("it is no answer")
	}
	return in
}

func features(vars string) (s string) {
	for _, f := range strings.Fields(vars) {
		s += `<feature var='` + f + `'/>`
	}
	return s
}

// exodus is the example of XEP-0115 §5.2.
const exodus = `<identity category='client' type='pc' name='Exodus 0.9.1'/>
	<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>
	<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/caps'/>`

// psi is the example of XEP-0115 §5.3.
const psi = `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
	<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
	<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
	<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>
	<x xmlns='jabber:x:data' type='result'>
	<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
	<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
	<field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
	<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x>`

func TestVerificationStrings(t *testing.T) {
	for content, want := range map[string]string{
		exodus: "QgayPKawpkPSDYmwT/WM94uAlu0=",
		psi:    "q07IKJEyjvHSyhy//CH0CxmKi8w=",
		// A form without a hidden FORM_TYPE, or with none, does not count (XEP-0115 §5.4).
		exodus + `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>a</value></field></x>`:                  "QgayPKawpkPSDYmwT/WM94uAlu0=",
		exodus + `<x xmlns='jabber:x:data' type='result'><field var='os'><value>a</value></field></x>`:                         "QgayPKawpkPSDYmwT/WM94uAlu0=",
		exodus + `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'/></x><other xmlns='urn:other'/>`: "QgayPKawpkPSDYmwT/WM94uAlu0=",
	} {
		s, err := info(t, content).Legacy()
		sum := sha1.Sum(s)
		if got := base64.StdEncoding.EncodeToString(sum[:]); err != nil || got != want {
			t.Errorf("%s: %s instead of %s, %v", content, got, want, err)
		}
	}
}

func TestIllFormedAnswers(t *testing.T) {
	form := func(fields string) string { return `<x xmlns='jabber:x:data' type='result'>` + fields + `</x>` }
	const a = `<field var='FORM_TYPE' type='hidden'><value>a</value></field>`
	for _, more := range []string{
		`<identity category='client' type='pc' name='Exodus 0.9.1'/>`,
		`<feature var='http://jabber.org/protocol/muc'/>`,
		form(a) + form(a+`<field var='os'><value>b</value></field>`),
		form(`<field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field>`),
		form(a + `<field var='FORM_TYPE' type='hidden'><value>b</value></field>`),
	} {
		if s, err := info(t, exodus+more).Legacy(); err == nil {
			t.Errorf("with %s: %s", more, s)
		}
	}
	if _, err := info(t, exodus+`<identity category='client' type='pc' name='Another'/>`+
		form(`<field var='FORM_TYPE' type='hidden'><value>a</value><value>a</value></field>`)).Legacy(); err != nil {
		t.Errorf("an identity of another name, and one FORM_TYPE twice: %v", err)
	}
}

// TestReferencesStay looks that no reference is resolved twice (XEP-0115 §5.1).
func TestReferencesStay(t *testing.T) {
	s, err := info(t, `<identity category='client' type='pc' name='a&amp;lt;b'/>`).Legacy()
	if err != nil || string(s) != "client/pc//a&lt;b<" {
		t.Errorf("%s, %v", s, err)
	}
}

// bombus is the example of XEP-0390 §4.5.1, tkabber that of XEP-0390 §4.5.2.
var (
	bombus = `<identity category='client' name='BombusMod' type='mobile'/>` + features(`http://jabber.org/protocol/si
		http://jabber.org/protocol/bytestreams http://jabber.org/protocol/chatstates http://jabber.org/protocol/disco#info
		http://jabber.org/protocol/disco#items urn:xmpp:ping jabber:iq:time jabber:iq:privacy jabber:iq:version
		http://jabber.org/protocol/rosterx urn:xmpp:time jabber:x:oob http://jabber.org/protocol/ibb
		http://jabber.org/protocol/si/profile/file-transfer urn:xmpp:receipts jabber:iq:roster jabber:iq:last`)
	tkabber = `<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>
		<identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>` + features(`games:board
		http://jabber.org/protocol/activity http://jabber.org/protocol/activity+notify http://jabber.org/protocol/bytestreams
		http://jabber.org/protocol/chatstates http://jabber.org/protocol/commands http://jabber.org/protocol/disco#info
		http://jabber.org/protocol/disco#items http://jabber.org/protocol/evil http://jabber.org/protocol/feature-neg
		http://jabber.org/protocol/geoloc http://jabber.org/protocol/geoloc+notify http://jabber.org/protocol/ibb
		http://jabber.org/protocol/iqibb http://jabber.org/protocol/mood http://jabber.org/protocol/mood+notify
		http://jabber.org/protocol/rosterx http://jabber.org/protocol/si http://jabber.org/protocol/si/profile/file-transfer
		http://jabber.org/protocol/tune http://www.facebook.com/xmpp/messages
		http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify jabber:iq:avatar jabber:iq:browse jabber:iq:dtcp
		jabber:iq:filexfer jabber:iq:ibb jabber:iq:inband jabber:iq:jidlink jabber:iq:last jabber:iq:oob jabber:iq:privacy
		jabber:iq:roster jabber:iq:time jabber:iq:version jabber:x:data jabber:x:event jabber:x:oob
		urn:xmpp:avatar:metadata+notify urn:xmpp:ping urn:xmpp:receipts urn:xmpp:time`) + `<x xmlns='jabber:x:data' type='result'>
		<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value></field>
		<field var='software'><value>Tkabber</value></field>
		<field var='software_version'><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field>
		<field var='os'><value>Windows</value></field><field var='os_version'><value>XP</value></field></x>`
)

func TestCapabilityHashes(t *testing.T) {
	for content, want := range map[string][2]string{
		bombus:  {"kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=", "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="},
		tkabber: {"u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=", "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg="},
	} {
		s, err := info(t, content).Input()
		two, three := sha256.Sum256(s), sha3.Sum256(s)
		got := [2]string{base64.StdEncoding.EncodeToString(two[:]), base64.StdEncoding.EncodeToString(three[:])}
		if err != nil || got != want {
			t.Errorf("%q: %v instead of %v, %v", s, got, want, err)
		}
	}
}

func TestAnswersWithoutHash(t *testing.T) {
	form := func(typ, content string) string {
		return `<x xmlns='jabber:x:data' type='` + typ + `'>` + content + `</x>`
	}
	const a = `<field var='FORM_TYPE' type='hidden'><value>a</value></field>`
	for _, more := range []string{
		`<other xmlns='urn:other'/>`,
		`<set xmlns='http://jabber.org/protocol/rsm'/>`,
		form("result", a+`<reported/>`),
		form("result", a+`<item/>`),
		form("result", `<field var='os'><value>b</value></field>`),
		form("result", `<field var='FORM_TYPE'><value>a</value></field>`),
		form("result", `<field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field>`),
		form("result", a+a),
	} {
		if s, err := info(t, bombus+more).Input(); err == nil {
			t.Errorf("with %s: %q", more, s)
		}
	}
	for _, more := range []string{form("result", a), form("submit", `<field var='FORM_TYPE'><value>a</value></field>`)} {
		if _, err := info(t, bombus+more).Input(); err != nil {
			t.Errorf("with %s: %v", more, err)
		}
	}
}

func TestLanguageOfIdentities(t *testing.T) {
	in := info(t, `<identity category='client' type='pc' name='a'/><identity category='client' type='pc' name='b' xml:lang='de'/>`)
	got, err := in.InLang("en").Input()
	if want := "\x1cclient\x1fpc\x1fde\x1fb\x1f\x1eclient\x1fpc\x1fen\x1fa\x1f\x1e\x1c\x1c"; err != nil || string(got) != want {
		t.Errorf("%q instead of %q, %v", got, want, err)
	}
	if in.Identities[0].Lang != "" {
		t.Error("the answer itself was changed")
	}
}

package c2s_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"fmt"
	"testing"

	"parley/xmpp"
)

// TestCapabilitiesOfTheServer compares what the stream features announce with what the
// server answers when it is asked for that (XEP-0115 §6.3, XEP-0390 §5.2).
func TestCapabilitiesOfTheServer(t *testing.T) {
	h := open(t, nil)
	c := h.login("juliet", "")
	old := c.Features.Child("http://jabber.org/protocol/caps", "c")
	announced := map[string]string{} // hashes by node
	if old.Attr("hash") != "sha-1" {
		t.Errorf("the function is %q", old.Attr("hash"))
	}
	announced[old.Attr("node")+"#"+old.Attr("ver")] = old.Attr("ver")
	for e := range c.Features.Child("urn:xmpp:caps", "c").Children {
		if e.Is("urn:xmpp:hashes:2", "hash") {
			announced["urn:xmpp:caps#"+e.Attr("algo")+"."+e.Text()] = e.Text()
		}
	}
	if len(announced) != 3 {
		t.Errorf("announced: %v", announced)
	}
	n := 0
	for node, want := range announced {
		n++
		c.Write(fmt.Sprintf(`<iq type='get' id='%d' to='%s'><query xmlns='%s' node='%s'/></iq>`, n, host, xmpp.NSInfo, node))
		st := c.Expect("<iq")
		in, ok := xmpp.ParseInfo(st.Payload())
		if !ok || st.Payload().Attr("node") != node {
			t.Errorf("%s: %s", node, st)
			continue
		}
		legacy, err := in.Legacy()
		if err != nil {
			t.Error(err)
		}
		input, err := in.Input()
		if err != nil {
			t.Error(err)
		}
		one, two, three := sha1.Sum(legacy), sha256.Sum256(input), sha3.Sum256(input)
		fits := false
		for _, sum := range [][]byte{one[:], two[:], three[:]} {
			fits = fits || base64.StdEncoding.EncodeToString(sum) == want
		}
		if !fits {
			t.Errorf("%s is not the hash of %s", want, st)
		}
	}
}

package muc

import "testing"

func TestReplaced(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"<item jid='ann@example.com'/>":        "<item jid='N'/>",
		"ann@example.com":                      "N",
		"xmpp:ann@example.com?message":         "xmpp:N?message",
		"ann@example.com/desk ann@example.com": "N/desk N",
		"joann@example.com":                    "joann@example.com",
		"ann@example.com.evil":                 "ann@example.com.evil",
		"éann@example.com":                     "éann@example.com",
		"aann@example.comann@example.com ann@example.com": "aann@example.comann@example.com N",
	} {
		if got := string(replaced([]byte(text), []byte("ann@example.com"), []byte("N"))); got != want {
			t.Errorf("%s: %s instead of %s", text, got, want)
		}
	}
}

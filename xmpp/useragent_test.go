package xmpp

import (
	"strings"
	"testing"
)

func TestParseUserAgent(t *testing.T) {
	const id = "d4565fa7-4d72-4749-b3d3-740edbf87770"
	long := strings.Repeat("ä", 101)
	for xml, want := range map[string]UserAgent{
		"<user-agent id='" + id + "'><software>AwesomeXMPP</software><device>Kiva's Phone</device></user-agent>": {id, "AwesomeXMPP", "Kiva's Phone"},
		"<user-agent id='" + strings.ToUpper(id) + "'/>":                                                         {ID: id},
		"<user-agent/>": {},
		"<user-agent id='d4565fa7-4d72-1749-b3d3-740edbf87770'><software>v1</software></user-agent>": {Software: "v1"},
		"<user-agent id='d4565fa7-4d72-4749-c3d3-740edbf87770'/>":                                    {},
		"<user-agent id='d4565fa7x4d72-4749-b3d3-740edbf87770'/>":                                    {},
		"<user-agent id='d4565fg7-4d72-4749-b3d3-740edbf87770'/>":                                    {},
		"<user-agent id='" + id + "0'/>":                                                             {},
		"<user-agent><software> a \n\t b </software></user-agent>":                                   {Software: "a b"},
		"<user-agent><device>a&#x9b;31m\u202eb\u200b</device></user-agent>":                          {Device: "a31mb"},
		"<user-agent><device>" + long + "</device></user-agent>":                                     {Device: long[:200]},
	} {
		st, err := ParseStanza("<authenticate xmlns='urn:xmpp:sasl:2'>" + xml + "</authenticate>")
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseUserAgent(st.Child("urn:xmpp:sasl:2", "user-agent")); got != want {
			t.Errorf("%s: %+v", xml, got)
		}
	}
	if got := ParseUserAgent(Element{}); got != (UserAgent{}) {
		t.Errorf("%+v", got)
	}
}

package vcard_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"parley/router/routertest"
	"parley/xep/pubsub"
	"parley/xep/vcard"
)

const (
	nsPubsub = "http://jabber.org/protocol/pubsub"
)

// publishing is a house in which users publish.
func publishing(t testing.TB) *routertest.House {
	return routertest.New(t, feature(), pubsub.Feature(pubsub.New(pubsub.Config{})))
}

func publish(node, item string) string {
	return `<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><publish node='` + node + `'>` + item + `</publish>` +
		`<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>` + nsPubsub + `#publish-options</value></field>` +
		`<field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub></iq>`
}

func avatarData(id, text string) string {
	return publish("urn:xmpp:avatar:data", `<item id='`+id+`'><data xmlns='urn:xmpp:avatar:data'>`+text+`</data></item>`)
}

func avatarMetadata(id string) string {
	return publish("urn:xmpp:avatar:metadata", `<item id='`+id+`'><metadata xmlns='urn:xmpp:avatar:metadata'><info id='`+id+`' type='image/png' bytes='3'/></metadata></item>`)
}

func items(node string) string {
	return `<iq id='i' type='get'><pubsub xmlns='` + nsPubsub + `'><items node='` + node + `'/></pubsub></iq>`
}

const nothing = `<iq type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`

// TestBothOrNeither has the disk refuse each way of the conversion.
func TestBothOrNeither(t *testing.T) {
	h := publishing(t)
	a := h.Connected(romeo)
	a.Sends(away)
	a.Does(avatarData(hash, "YWJj"))
	h.Disk.FullEvery(1)
	for _, request := range []string{set(image), avatarMetadata(hash)} {
		a.Sends(request)
		a.Gets(`<iq type='error'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	}
	h.Disk.FullEvery(0)
	shows(t, h, a, "no")
	a.Sends(get)
	a.Gets(nothing)
	a.Sends(items("urn:xmpp:avatar:metadata"))
	a.Gets(`<iq type='error'>…</iq>`)
	a.Does(avatarMetadata(hash))
	shows(t, h, a, hash)
	a.Sends(get)
	a.Gets(has(image))
}

// TestAvatarWithoutRoom: what does not fit into the other side is not in either, or in its own
// alone where it was published as such.
func TestAvatarWithoutRoom(t *testing.T) {
	limit := 1000
	card := vcard.NewWith(func() []string { return nil }, func() int { return limit })
	s := pubsub.New(pubsub.Config{Limits: func() pubsub.Limits { return pubsub.Limits{Payload: 2000} }})
	a := routertest.New(t, card, pubsub.Feature(s)).Connected(romeo)
	a.Does(set(`<FN>Romeo</FN>` + image))
	data := []byte(strings.Repeat("large", 200))
	sum := sha1.Sum(data)
	id, large := hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(data)
	a.Does(avatarData(id, large))
	a.Does(avatarMetadata(id))
	a.Sends(get)
	a.Gets(has(`<FN>Romeo</FN>`))
	limit = 10_000
	huge := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("large", 500)))
	a.Sends(set(`<FN>Other</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>` + huge + `</BINVAL></PHOTO>`))
	a.Gets(`<iq type='error'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	a.Sends(get)
	if s := a.Hears().String(); strings.Contains(s, "Other") {
		t.Errorf("half of it was kept: %s", s)
	}
}

// TestCardTooLarge: a vCard4 is not taken that says more than a vCard may.
func TestCardTooLarge(t *testing.T) {
	card := vcard.NewWith(func() []string { return nil }, func() int { return 200 })
	a := routertest.New(t, card, pubsub.Feature(pubsub.New(pubsub.Config{}))).Connected(romeo)
	vcard4 := func(name string) string {
		return publish("urn:xmpp:vcard4", `<item id='1'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>`+name+`</text></fn></vcard></item>`)
	}
	a.Does(vcard4("Romeo"))
	a.Sends(vcard4(strings.Repeat("Romeo", 50)))
	a.Gets(`<iq type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>…</error></iq>`)
	a.Sends(get)
	a.Gets(has(`<FN>Romeo</FN>`))
	a.Does(`<iq id='p' type='set'><pubsub xmlns='` + nsPubsub + `'><retract node='urn:xmpp:vcard4'><item id='1'/></retract></pubsub></iq>`)
	a.Sends(get)
	a.Gets(nothing)
}

// TestCardsThatAreNone: what is published at the node and is no vCard4 says nothing, and nothing
// breaks.
func TestCardsThatAreNone(t *testing.T) {
	a := publishing(t).Connected(romeo)
	a.Does(set(`<FN>Romeo</FN>`))
	for _, payload := range []string{
		`<x xmlns='urn:x'/>`,
		`<vcard xmlns='urn:x'><fn><text>x</text></fn></vcard>`,
		`<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn/><n/><tel/><geo><uri>geo:1</uri></geo><geo/><impp><uri>xmpp:</uri></impp><org/><bday/></vcard>`,
		`<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><tel><text>1</text></tel><tel><uri>sip:1</uri></tel><adr><parameters><type><text>moon</text></type></parameters></adr></vcard>`,
	} {
		a.Does(publish("urn:xmpp:vcard4", `<item id='1'>`+payload+`</item>`))
		for _, content := range []string{`<FN>R</FN>`, `<N/><ORG/><TEL/><GEO><LAT>1</LAT></GEO><BDAY>yesterday</BDAY>`, `<TEL>1</TEL><EMAIL>x</EMAIL>`} {
			a.Does(set(content))
		}
	}
	a.Sends(items("urn:xmpp:vcard4"))
	if s := a.Hears().String(); !strings.Contains(s, "sip:1") {
		t.Errorf("what a vCard has no words for is gone: %s", s)
	}
}

// TestAvatarOfMany: the image is found by its id, in capitals too, and in the first few formats
// alone that the metadata names.
func TestAvatarOfMany(t *testing.T) {
	h := publishing(t)
	a := h.Connected(romeo)
	a.Sends(away)
	big := strings.ToUpper(hash)
	a.Does(avatarData(big, "YWJj"))
	metadata := func(n int) string {
		return publish("urn:xmpp:avatar:metadata", `<item id='`+hash+`'><metadata xmlns='urn:xmpp:avatar:metadata'>`+
			strings.Repeat(`<info id='`+strings.Repeat("0", 40)+`' type='image/png' bytes='3'/>`, n)+`<info id='`+big+`' type='image/png' bytes='3'/></metadata></item>`)
	}
	a.Does(metadata(200))
	a.Sends(get)
	a.Gets(nothing)
	a.Does(metadata(2))
	shows(t, h, a, hash)
}

package vcard_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/pubsub"
	"parley/xmpp"
)

// TestOneAvatar has clients of both kinds change the avatar and the card at random, over several
// lives of the house: both sides and presence say the same after each.
func TestOneAvatar(t *testing.T) {
	dir, accounts := t.TempDir(), &routertest.Directory{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	photo, name := "", "" // that there are: its hash, and the name
	var card string       // as an old client knows it
	for life := range 3 {
		t.Run(strconv.Itoa(life), func(t *testing.T) {
			h := routertest.NewWith(t, routertest.Config{
				Features: []router.Feature{feature(), pubsub.Feature(pubsub.New(pubsub.Config{}))},
				Storage:  storage.Config{Dir: dir}, Dir: accounts,
			})
			a := h.Connected(romeo)
			if life == 0 {
				a.Does(avatarMetadata("x")) // made for everybody
				a.Does(publish("urn:xmpp:avatar:metadata", `<item id='none'><metadata xmlns='urn:xmpp:avatar:metadata'/></item>`))
			}
			a.Sends(away)
			a.Forgets()
			for step := range 50 {
				text := []byte(fmt.Sprintf("image %d", r.IntN(5)))
				sum := sha1.Sum(text)
				id, data := hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(text)
				switch r.IntN(5) {
				case 0:
					a.Does(avatarData(id, data))
					a.Does(avatarMetadata(id))
					photo = id
				case 1:
					a.Does(publish("urn:xmpp:avatar:metadata", `<item id='none'><metadata xmlns='urn:xmpp:avatar:metadata'/></item>`))
					photo = ""
				case 2:
					name, photo = "name"+strconv.Itoa(step), id
					card = `<FN>` + name + `</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>` + data + `</BINVAL></PHOTO>`
					a.Does(set(card))
				case 3:
					name, photo = "name"+strconv.Itoa(step), ""
					card = `<FN>` + name + `</FN>`
					a.Does(set(card))
				case 4:
					name = "name" + strconv.Itoa(step)
					a.Does(publish("urn:xmpp:vcard4", `<item id='1'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>`+name+`</text></fn></vcard></item>`))
				}
				a.Forgets()
				seen := view(a)
				if want := (sides{photo, photo, name, name}); seen != want {
					t.Fatalf("step %d: %v instead of %v", step, seen, want)
				}
				if photo != "" || step > 0 {
					res, _ := resource(h, a)
					if got := res.Presence.Child("vcard-temp:x:update", "x").ChildText("", "photo"); got != photo {
						t.Fatalf("step %d: presence says %q instead of %q", step, got, photo)
					}
				}
			}
		})
	}
}

// sides are what the two formats say.
type sides struct{ published, photo, name4, name string }

func view(a *routertest.Actor) (s sides) {
	ask := func(xml string) xmpp.Element {
		a.Forgets()
		a.Sends(xml)
		for st := a.Hears(); st != nil; st = a.Hears() {
			if st.Kind == xmpp.IQ {
				return st.Payload()
			}
		}
		return xmpp.Element{}
	}
	item := func(node string) xmpp.Element {
		return ask(items(node)).Child(nsPubsub, "items").Child(nsPubsub, "item").First()
	}
	s.published = item("urn:xmpp:avatar:metadata").First().Attr("id")
	s.name4 = item("urn:xmpp:vcard4").Child("", "fn").ChildText("", "text")
	card := ask(get)
	s.name = card.ChildText("vcard-temp", "FN")
	if data, err := base64.StdEncoding.DecodeString(card.Child("vcard-temp", "PHOTO").ChildText("vcard-temp", "BINVAL")); err == nil && len(data) > 0 {
		sum := sha1.Sum(data)
		s.photo = hex.EncodeToString(sum[:])
	}
	return s
}

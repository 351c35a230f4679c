package vcard_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"parley/router"
	"parley/router/routertest"
	"parley/storage"
	"parley/xep/caps"
	"parley/xep/pubsub"
	"parley/xmpp"
)

// told are the items of which a client is told, as node and id, or name of a card.
func told(watch *routertest.Actor) (list []string) {
	for st := watch.Hears(); st != nil; st = watch.Hears() {
		items := st.Child(nsPubsub+"#event", "event").Child(nsPubsub+"#event", "items")
		if st.Kind != xmpp.Message {
			continue
		}
		what := items.First().Attr("id")
		if items.Attr("node") == "urn:xmpp:vcard4" {
			what = items.First().First().Child("", "fn").ChildText("", "text")
		}
		list = append(list, what)
	}
	return list
}

// interested has a client be told of avatars and cards.
func interested(h *routertest.House) *routertest.Actor {
	watch := h.Connected("romeo@example.com/watch")
	watch.Says(`<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:n' ver='1'/></presence>`)
	for st := watch.Hears(); st != nil; st = watch.Hears() {
		if st.Kind == xmpp.IQ && st.Type == "get" {
			watch.Says(xmpp.Result(st, xmpp.Payload(`<query xmlns='`+xmpp.NSInfo+`'><identity category='client' type='pc'/>`+
				`<feature var='urn:xmpp:avatar:metadata+notify'/><feature var='urn:xmpp:vcard4+notify'/></query>`)).String())
		}
	}
	return watch
}

// TestOneAvatar has clients of both kinds change the avatar and the card at random, over several
// lives of the house: both sides and presence say the same after each, and who is interested is
// told of what is new, once, and of nothing else.
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
				Features: []router.Feature{feature(), pubsub.Feature(pubsub.New(pubsub.Config{})), caps.New(time.Now)},
				Storage:  storage.Config{Dir: dir}, Dir: accounts,
			})
			a := h.Connected(romeo)
			if life == 0 {
				a.Does(avatarMetadata("x")) // made for everybody
				a.Does(publish("urn:xmpp:avatar:metadata", `<item id='none'><metadata xmlns='urn:xmpp:avatar:metadata'/></item>`))
			}
			a.Sends(away)
			watch := interested(h)
			for step := range 50 {
				var news []string
				was := photo
				asOld := func() { // what follows from a vCard: the card is always a new one
					switch {
					case photo != "" && photo != was:
						news = append(news, photo)
					case photo == "" && was != "":
						news = append(news, "none")
					}
					news = append(news, name)
				}
				a.Forgets()
				text := []byte(fmt.Sprintf("image %d", r.IntN(5)))
				sum := sha1.Sum(text)
				id, data := hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(text)
				switch r.IntN(5) {
				case 0:
					a.Does(avatarData(id, data))
					a.Does(avatarMetadata(id))
					photo, news = id, []string{id}
				case 1:
					a.Does(publish("urn:xmpp:avatar:metadata", `<item id='none'><metadata xmlns='urn:xmpp:avatar:metadata'/></item>`))
					photo, news = "", []string{"none"}
				case 2:
					name, photo = "name"+strconv.Itoa(100*life+step), id
					card = `<FN>` + name + `</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>` + data + `</BINVAL></PHOTO>`
					a.Does(set(card))
					asOld()
				case 3:
					name, photo = "name"+strconv.Itoa(100*life+step), ""
					card = `<FN>` + name + `</FN>`
					a.Does(set(card))
					asOld()
				case 4:
					name = "name" + strconv.Itoa(100*life+step)
					news = []string{name}
					a.Does(publish("urn:xmpp:vcard4", `<item id='1'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>`+name+`</text></fn></vcard></item>`))
				}
				if got := told(watch); !slices.Equal(got, news) {
					t.Fatalf("step %d: it was told %q instead of %q", step, got, news)
				}
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

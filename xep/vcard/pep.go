package vcard

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"parley/router"
	"parley/xmpp"
)

// Namespaces and nodes of avatars (XEP-0084 §4, XEP-0398 §2).
const (
	nodeData     = "urn:xmpp:avatar:data"
	nodeMetadata = "urn:xmpp:avatar:metadata"
	nsConversion = "urn:xmpp:pep-vcard-conversion:0"
)

// idNone is the id of the item that says that there is no avatar.
const idNone = "none"

// A picture is an image, with its hash and type.
type picture struct {
	hash, typ string
	data      []byte
}

// decoded reads an image in base64, in which white space means nothing; nil where it is none.
func decoded(text string) []byte {
	text = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, text)
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

func hashOf(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// takeAvatar makes the avatar that is published the photo of the vCard (XEP-0398 §3.1): for
// everybody, or for who may see the presence, as its nodes are (XEP-0398 §7). A photo that came from
// there goes when the nodes are for others; one that the user has put into the vCard is everybody's,
// and stays beside an avatar that is not.
func (h *holder) takeAvatar(node string) error {
	p, said, err := h.current(node == nodeMetadata)
	if err != nil || !said {
		return err
	}
	if err := h.read(); err != nil {
		return err
	}
	card := element(h.card)
	public, err := h.all(h.e.Public)
	shown := public
	if err == nil && !public {
		shown, err = h.all(h.e.ForContacts)
	}
	from := h.from | fromAvatar | forContacts
	if public {
		from &^= forContacts
	}
	own := photoHash(card) != "" && h.from&fromAvatar == 0
	switch {
	case err != nil:
		return err
	case p != nil && shown && own && (!public || photoHash(card) == p.hash):
		return nil
	case p != nil && shown && photoHash(card) == p.hash:
		return h.write(h.card, from)
	case p != nil && shown:
		with := withPhoto(card, p)
		if len(with) <= h.f.limit() {
			return h.write(with, from)
		}
	case p != nil && h.from&fromAvatar == 0:
		return nil
	}
	if photoHash(card) == "" && h.from&fromAvatar == 0 {
		return nil
	}
	return h.write(withPhoto(card, nil), h.from&^(fromAvatar|forContacts))
}

// all reports whether both nodes of the avatar are so.
func (h *holder) all(so func(node string) (bool, error)) (bool, error) {
	for _, node := range []string{nodeData, nodeMetadata} {
		if ok, err := so(node); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// current reads the avatar that is published; nil where there is none. said is false where that
// cannot be told: the image is somewhere else, is not there yet, or is another one than its id
// says; and where nothing was ever said of an avatar, unless told: then it was taken back.
func (h *holder) current(told bool) (p *picture, said bool, err error) {
	it, found, err := h.e.Last(nodeMetadata)
	if err != nil || !found {
		return nil, told, err
	}
	metadata := element(it.Payload)
	if metadata.Child(nodeMetadata, "info").IsZero() { // XEP-0084 §4.2: this disables it
		return nil, metadata.Is(nodeMetadata, "metadata"), nil
	}
	looked := 0
	for info := range metadata.Children {
		if url, elsewhere := info.LookupAttr("url"); !info.Is(nodeMetadata, "info") || elsewhere && url != "" {
			continue
		}
		if looked++; looked > maxFormats {
			break
		}
		p, err := h.pictureOf(info)
		if p != nil || err != nil {
			return p, p != nil, err
		}
	}
	return nil, false, nil
}

// maxFormats is in how many of an avatar's formats its image is looked for.
const maxFormats = 8

// pictureOf reads the image that metadata names, by its id alone: there may be many. nil: it is not
// there, or is another one. Ids are hashes, whose digits some write in capitals.
func (h *holder) pictureOf(info xmpp.Element) (*picture, error) {
	id := strings.ToLower(info.Attr("id"))
	for _, said := range slices.Compact([]string{info.Attr("id"), id, strings.ToUpper(id)}) {
		it, found, err := h.e.Item(nodeData, said)
		if err != nil {
			return nil, err
		}
		data := decoded(element(it.Payload).Text())
		if found && data != nil && hashOf(data) == id {
			return &picture{id, typeOf(data, info.Attr("type")), data}, nil
		}
	}
	return nil, nil
}

// withPhoto is a vCard with another photo, or without.
func withPhoto(card xmpp.Element, p *picture) xmpp.Payload {
	var b xmpp.Builder
	b.Open(ns, "vCard")
	put := func() {
		if p == nil {
			return
		}
		b.Open("", "PHOTO")
		if p.typ != "" {
			b.Leaf("", "TYPE", p.typ)
		}
		b.Leaf("", "BINVAL", base64.StdEncoding.EncodeToString(p.data)).Close()
		p = nil
	}
	for e := range card.Children {
		if e.Is(ns, "PHOTO") {
			put()
			continue
		}
		b.Raw(e.Payload())
	}
	put()
	return b.Payload()
}

// publishAvatar publishes the photo of a vCard as the avatar, unless it is that already, and
// takes the avatar back where there is a photo no longer. A photo of which nobody can say what it
// is, is in the vCard alone.
func (h *holder) publishAvatar(was string, card xmpp.Element) error {
	now := photoHash(card)
	if now == was && now == "" {
		return nil
	}
	cur, said, err := h.current(true)
	switch {
	case err != nil:
		return err
	case now == "":
		if cur == nil && said {
			return nil
		}
		var b xmpp.Builder
		none := router.Publication{ID: idNone, Payload: b.Open(nodeMetadata, "metadata").Payload()}
		return h.e.Publish(nodeMetadata, none, router.Everybody)
	case cur != nil && cur.hash == now:
		return nil
	}
	photo := card.Child(ns, "PHOTO")
	data := decoded(photo.ChildText(ns, "BINVAL"))
	p := picture{now, typeOf(data, photo.ChildText(ns, "TYPE")), data}
	if p.typ == "" {
		return nil
	}
	var d xmpp.Builder
	d.Leaf(nodeData, "data", base64.StdEncoding.EncodeToString(data))
	if err := h.e.Publish(nodeData, router.Publication{ID: now, Payload: d.Payload()}, router.Everybody); err != nil {
		return err
	}
	return h.e.Publish(nodeMetadata, router.Publication{ID: now, Payload: p.metadata()}, router.Everybody)
}

// metadata says what the picture is (XEP-0084 §4.2.1).
func (p *picture) metadata() xmpp.Payload {
	var b xmpp.Builder
	b.Open(nodeMetadata, "metadata").Open("", "info", "bytes", strconv.Itoa(len(p.data)), "id", p.hash, "type", p.typ)
	if c, ok := p.size(); ok {
		b.Attr("height", strconv.Itoa(c.Height)).Attr("width", strconv.Itoa(c.Width))
	}
	return b.Payload()
}

// size reads how large the picture is from its first bytes.
func (p *picture) size() (c image.Config, ok bool) {
	var err error
	r := bytes.NewReader(p.data)
	switch p.typ {
	case "image/png":
		c, err = png.DecodeConfig(r)
	case "image/jpeg":
		c, err = jpeg.DecodeConfig(r)
	case "image/gif":
		c, err = gif.DecodeConfig(r)
	default:
		return c, false
	}
	return c, err == nil
}

// typeOf is the media type of an image: what its bytes say, or else what its owner says.
func typeOf(data []byte, said string) string {
	said = strings.ToLower(strings.TrimSpace(said))
	switch sniffed := http.DetectContentType(data); {
	case strings.HasPrefix(sniffed, "image/"):
		return sniffed
	case strings.HasPrefix(said, "image/"):
		return said
	}
	return ""
}

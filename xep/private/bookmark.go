package private

import (
	"parley/xmpp"
)

// Bookmarks are at three places: one item each at a node (XEP-0402 §2), in a list that is an
// item at a node (XEP-0048 §3), and in that list in private XML (XEP-0411 §3).
const (
	nodeNative = "urn:xmpp:bookmarks:1"
	nodeList   = "storage:bookmarks"
	idList     = "current"
)

// listName is the name of the list in private XML.
func listName() xmpp.Name { return xmpp.Name{Space: nodeList, Local: "storage"} }

// A bookmark is what both formats have words for.
type bookmark struct {
	name, nick, password string
	autojoin             bool
}

// A native is an item of XEP-0402. Its key is the address of the room; "" where the id is none.
type native struct {
	bookmark
	id, key string
	e       xmpp.Element
}

// readBookmark reads the parts that both formats write alike, each in its namespace.
func readBookmark(e xmpp.Element) bookmark {
	join := e.Attr("autojoin")
	return bookmark{
		name: e.Attr("name"), autojoin: join == "1" || join == "true",
		nick: e.ChildText("", "nick"), password: e.ChildText("", "password"),
	}
}

// readNative reads an item of XEP-0402; ok is false for what is no bookmark of a room.
func readNative(id string, payload xmpp.Payload) (n native, ok bool) {
	e := xmpp.NewStanza(xmpp.IQ, payload).Payload()
	key := keyOf(id)
	if key == "" || !e.Is(nodeNative, "conference") {
		return n, false
	}
	return native{bookmark: readBookmark(e), id: id, key: key, e: e}, true
}

// keyOf returns the address of the room that the item with an id is about; "" where that is none.
func keyOf(id string) string {
	room, err := xmpp.ParseJID(id)
	if err != nil {
		return ""
	}
	return room.Bare().String()
}

// readEntry reads an entry of a list; ok is false for what is no room. Some old clients write the
// nickname behind the room's address.
func readEntry(e xmpp.Element) (key string, b bookmark, ok bool) {
	room, ok := roomOf(e)
	if !ok {
		return "", b, false
	}
	if b = readBookmark(e); b.nick == "" {
		b.nick = room.Resource()
	}
	return room.Bare().String(), b, true
}

// roomOf reads the address of an entry of a list; ok is false for what is no room.
func roomOf(e xmpp.Element) (room xmpp.JID, ok bool) {
	if !e.Is(nodeList, "conference") {
		return room, false
	}
	room, err := xmpp.ParseJID(e.Attr("jid"))
	return room, err == nil
}

// write writes a bookmark in the namespace of one of the formats, with those children of what was
// there before that the other has no words for (XEP-0402 §3.4).
func (b bookmark) write(out *xmpp.Builder, space, jid string, was xmpp.Element) {
	out.Open(space, "conference", "jid", jid, "name", b.name)
	if b.autojoin {
		out.Attr("autojoin", "true")
	}
	if b.nick != "" {
		out.Leaf("", "nick", b.nick)
	}
	if b.password != "" {
		out.Leaf("", "password", b.password)
	}
	for c := range was.Children {
		if !c.Is(space, "nick") && !c.Is(space, "password") {
			out.Raw(c.Payload())
		}
	}
	out.Close()
}

// A fate is what has become of a bookmark: it is as it says or, where there is no item, gone.
type fate struct {
	native
	there bool
}

// collate returns the list as it was, but for what has changed (XEP-0402 §5.3.1): new bookmarks
// come behind the others, in that order. Links, and whatever else is in it, stay. size is how many
// bookmarks it has, and grown by how many more these are; changed is false where it is as it was.
func collate(was xmpp.Element, fates []fate) (list xmpp.Payload, size, grown int, changed bool) {
	at := map[string]fate{}
	for _, f := range fates {
		at[f.key] = f
	}
	var b xmpp.Builder
	b.Open(nodeList, "storage")
	written := map[string]bool{}
	for e := range was.Children {
		room, ok := roomOf(e)
		key := room.Bare().String()
		f, touched := at[key]
		if ok {
			size++
		}
		if !ok || !touched { // nothing else of it is read
			b.Raw(e.Payload())
			continue
		}
		switch _, mark, _ := readEntry(e); {
		case !f.there || written[key]:
			size, grown, changed = size-1, grown-1, true
		case f.bookmark == mark:
			b.Raw(e.Payload())
		default:
			f.write(&b, nodeList, f.key, e)
			changed = true
		}
		written[key] = true
	}
	for _, f := range fates {
		if f = at[f.key]; f.there && !written[f.key] {
			f.write(&b, nodeList, f.key, xmpp.Element{})
			written[f.key] = true
			size, grown, changed = size+1, grown+1, true
		}
	}
	return b.Payload(), size, grown, changed
}

// entries returns how many bookmarks of rooms a list has.
func entries(list xmpp.Element) (n int) {
	for e := range list.Children {
		if e.Is(nodeList, "conference") {
			n++
		}
	}
	return n
}

// tooMany refuses a list that is too long to be kept at all places.
func tooMany() error {
	return xmpp.Refuse("resource-constraint", "there are too many bookmarks")
}

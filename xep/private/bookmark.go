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
	room, err := xmpp.ParseJID(id)
	if err != nil || !e.Is(nodeNative, "conference") {
		return n, false
	}
	return native{bookmark: readBookmark(e), id: id, key: room.Bare().String(), e: e}, true
}

// readEntry reads an entry of a list; ok is false for what is no room. Some old clients write the
// nickname behind the room's address.
func readEntry(e xmpp.Element) (key string, b bookmark, ok bool) {
	if !e.Is(nodeList, "conference") {
		return "", b, false
	}
	room, err := xmpp.ParseJID(e.Attr("jid"))
	if err != nil {
		return "", b, false
	}
	if b = readBookmark(e); b.nick == "" {
		b.nick = room.Resource()
	}
	return room.Bare().String(), b, true
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

// collate returns the list as it was, with these bookmarks in it and no others (XEP-0402 §5.3.1).
// Links, and whatever else is in it, stay. changed is false where it was so before.
func collate(was xmpp.Element, all []native) (list xmpp.Payload, changed bool) {
	at := map[string]native{}
	for _, n := range all {
		at[n.key] = n
	}
	var b xmpp.Builder
	b.Open(nodeList, "storage")
	written := map[string]bool{}
	for e := range was.Children {
		key, mark, ok := readEntry(e)
		n, there := at[key]
		switch {
		case !ok:
			b.Raw(e.Payload())
		case !there || written[key]:
			changed = true
		case n.bookmark == mark:
			b.Raw(e.Payload())
		default:
			n.write(&b, nodeList, n.key, e)
			changed = true
		}
		written[key] = true
	}
	for _, n := range all {
		if !written[n.key] {
			at[n.key].write(&b, nodeList, n.key, xmpp.Element{})
			written[n.key], changed = true, true
		}
	}
	return b.Payload(), changed
}

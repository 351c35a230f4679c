"""A slixmpp component publishes for users as gateways do (XEP-0356 §6): bookmarks, what was displayed,
avatars. Its own people have nicknames and avatars, of which users hear and which they fetch, and
it hears of users' avatars as any contact.

Arguments: port for clients, certificate file, port for components.
"""
import asyncio
import base64
import hashlib
import sys

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from slixmpp_person import Person

where, port = sys.argv[1:3], int(sys.argv[3])
GW, SECRET = "telegram.localhost", "a-secret-of-slixmpp"
J, FRIEND, GROUP = "juliet@localhost", "mercutio@telegram.localhost", "group@telegram.localhost"
PUBSUB = "http://jabber.org/protocol/pubsub"
IMAGE = b"\x89PNG\r\n\x1a\n" + b"a gateway's picture" * 50
HASH = hashlib.sha1(IMAGE).hexdigest()
NOTIFY = "urn:xmpp:avatar:metadata+notify"
VER = base64.b64encode(hashlib.sha1(("client/bot//<%s<" % NOTIFY).encode()).digest()).decode()  # XEP-0115 §5.1
PRIVATE = {"persist_items": "true", "max_items": "max", "send_last_published_item": "never", "access_model": "whitelist"}


def element(tag, *children, **attrs):
    e = ET.Element(tag, {k.rstrip("_"): v for k, v in attrs.items()})
    for c in children:
        if isinstance(c, str):
            e.text = c
        else:
            e.append(c)
    return e


def publication(node, item, payload, options):
    fields = [element("{jabber:x:data}field", element("{jabber:x:data}value", PUBSUB + "#publish-options"), var="FORM_TYPE", type="hidden")]
    fields += [element("{jabber:x:data}field", element("{jabber:x:data}value", v), var="pubsub#" + k) for k, v in options.items()]
    ns = "{%s}" % PUBSUB
    return element(ns + "pubsub", element(ns + "publish", element(ns + "item", payload, id=item), node=node),
                   element(ns + "publish-options", element("{jabber:x:data}x", *fields, type="submit")))


class Gateway(slixmpp.ComponentXMPP):
    def __init__(self):
        super().__init__(GW, SECRET, "127.0.0.1", port)
        for plugin in ("xep_0030", "xep_0199", "xep_0356"):
            self.register_plugin(plugin)
        self["xep_0030"].add_feature(NOTIFY, jid=FRIEND + "/tg", node="urn:gw#" + VER)
        self["xep_0030"].add_identity("client", "bot", jid=FRIEND + "/tg", node="urn:gw#" + VER)
        self.granted = asyncio.Event()
        self.avatar = asyncio.get_event_loop().create_future()
        self.add_event_handler("privileges_advertised", lambda _: self.granted.set())
        accept = "{jabber:component:accept}"
        self.register_handler(Callback("event", MatchXPath(accept + "message/{%s#event}event" % PUBSUB), self.published))
        self.register_handler(Callback("asked", MatchXPath(accept + "iq/{%s}pubsub" % PUBSUB), self.asked))

    def published(self, m):
        items = m.xml.find("{%s#event}event/{%s#event}items" % (PUBSUB, PUBSUB))
        if items.get("node") == "urn:xmpp:avatar:metadata" and str(m["from"]) == J and not self.avatar.done():
            self.avatar.set_result(items[0].get("id"))

    def asked(self, iq):
        """The nodes of its people."""
        if iq["type"] != "get":
            return
        node = iq.xml.find("{%s}pubsub/{%s}items" % (PUBSUB, PUBSUB)).get("node")
        data = element("{urn:xmpp:avatar:data}data", base64.b64encode(IMAGE).decode())
        answer = self.make_iq_result(iq["id"], ito=iq["from"], ifrom=iq["to"])
        ns = "{%s}" % PUBSUB
        answer.xml.append(element(ns + "pubsub", element(ns + "items", element(ns + "item", data, id=HASH), node=node)))
        answer.send()

    async def as_user(self, typ, payload):
        """A request of juliet's, and its answer."""
        iq = self.make_iq(ito=J, ifrom=GW, itype=typ)
        iq.xml.append(element("{urn:xmpp:privilege:2}privileged_iq", element("{jabber:client}iq", payload, type=typ, to=J, id="inner")))
        answer = await iq.send(timeout=30)
        inner = answer.xml.find("{urn:xmpp:privilege:2}privilege/{urn:xmpp:forward:0}forwarded/{jabber:client}iq")
        assert inner is not None and inner.get("type") == "result", answer
        return inner

    def tells(self, to, node, item, payload):
        """An event of one of its people."""
        ns = "{%s#event}" % PUBSUB
        m = self.make_message(mto=to, mfrom=FRIEND, mtype="headline")
        m.xml.append(element(ns + "event", element(ns + "items", element(ns + "item", payload, id=item), node=node)))
        m.send()


class Phone(Person):
    def __init__(self, *interests):
        super().__init__("juliet", "phone", *where, plugins=("xep_0060", "xep_0084", "xep_0163", "xep_0172", "xep_0049"))
        self.interests = interests
        self.register_handler(Callback("any event", MatchXPath("{jabber:client}message/{%s#event}event" % PUBSUB), self.published))

    def published(self, m):
        items = m.xml.find("{%s#event}event/{%s#event}items" % (PUBSUB, PUBSUB))
        self.note(self.heard, ("event", str(m["from"].bare), items.get("node"), items[0].tag.split("}")[1], items[0].get("id")))

    async def shows(self, **presence):
        for interest in self.interests:
            self["xep_0163"].add_interest(interest)
        await super().shows(**presence)


async def main():
    phone = await Phone("urn:xmpp:bookmarks:1", "storage:bookmarks", "urn:xmpp:mds:displayed:0", "urn:xmpp:avatar:metadata", "http://jabber.org/protocol/nick").comes()
    gw = Gateway()
    gw.connect("127.0.0.1", port)
    await asyncio.wait_for(gw.granted.wait(), 30)

    # A group becomes a bookmark, for clients of all ages; and is none any more.
    conference = element("{urn:xmpp:bookmarks:1}conference", element("{urn:xmpp:bookmarks:1}nick", "Juliet"), name="The group", autojoin="true")
    await gw.as_user("set", publication("urn:xmpp:bookmarks:1", GROUP, conference, PRIVATE))
    await phone.has("event", J, "urn:xmpp:bookmarks:1", "item", GROUP)
    await phone.has("event", J, "storage:bookmarks", "item", "current")
    iq = phone.make_iq_get()
    iq.xml.append(element("{jabber:iq:private}query", element("{storage:bookmarks}storage")))
    listed = (await iq.send(timeout=30)).xml.find("{jabber:iq:private}query/{storage:bookmarks}storage/{storage:bookmarks}conference")
    assert (listed.get("jid"), listed.get("name"), listed.get("autojoin")) == (GROUP, "The group", "true"), listed.attrib
    ns = "{%s}" % PUBSUB
    got = await gw.as_user("get", element(ns + "pubsub", element(ns + "items", element(ns + "item", id=GROUP), node="urn:xmpp:bookmarks:1")))
    assert got.find("%spubsub/%sitems/%sitem/{urn:xmpp:bookmarks:1}conference" % (ns, ns, ns)).get("name") == "The group"
    await gw.as_user("set", element(ns + "pubsub", element(ns + "retract", element(ns + "item", id=GROUP), node="urn:xmpp:bookmarks:1", notify="true")))
    await phone.hears("event", J, "urn:xmpp:bookmarks:1", "retract", GROUP)

    # What was displayed in the other network's own application.
    displayed = element("{urn:xmpp:mds:displayed:0}displayed", element("{urn:xmpp:sid:0}stanza-id", by=J, id="an-id"))
    await gw.as_user("set", publication("urn:xmpp:mds:displayed:0", FRIEND, displayed, PRIVATE))
    await phone.hears("event", J, "urn:xmpp:mds:displayed:0", "item", FRIEND)

    # The picture that juliet has there.
    data = element("{urn:xmpp:avatar:data}data", base64.b64encode(IMAGE).decode())
    info = element("{urn:xmpp:avatar:metadata}metadata", element("{urn:xmpp:avatar:metadata}info", id=HASH, type="image/png", bytes=str(len(IMAGE))))
    await gw.as_user("set", publication("urn:xmpp:avatar:data", HASH, data, {"access_model": "open"}))
    await gw.as_user("set", publication("urn:xmpp:avatar:metadata", HASH, info, {"access_model": "open"}))
    await phone.hears("event", J, "urn:xmpp:avatar:metadata", "item", HASH)
    card = await phone["xep_0054"].get_vcard(J, cached=False)
    assert card["vcard_temp"]["PHOTO"]["BINVAL"] == IMAGE, card

    # Somebody of the other network has a name and a picture.
    await gw["xep_0356"].set_roster(J, {FRIEND: {"name": "Mercutio", "subscription": "both", "groups": []}})
    gw.tells(J + "/phone", "http://jabber.org/protocol/nick", "current", element("{http://jabber.org/protocol/nick}nick", "Mercutio"))
    await phone.hears("event", FRIEND, "http://jabber.org/protocol/nick", "item", "current")
    gw.tells(J, "urn:xmpp:avatar:metadata", HASH, info)
    await phone.hears("event", FRIEND, "urn:xmpp:avatar:metadata", "item", HASH)
    result = await phone["xep_0084"].retrieve_avatar(FRIEND, HASH)
    assert result["pubsub"]["items"]["item"]["avatar_data"]["value"] == IMAGE

    # And he hears of juliet's, as he is interested and sees her presence.
    there = gw.make_presence(pto=J, pfrom=FRIEND + "/tg")
    there.xml.append(element("{http://jabber.org/protocol/caps}c", hash="sha-1", node="urn:gw", ver=VER))
    there.send()
    assert await asyncio.wait_for(gw.avatar, 30) == HASH

    # What it has no permission for.
    try:
        await gw.as_user("get", element("{jabber:iq:private}query", element("{urn:example:note}note")))
        sys.exit("it may read private data")
    except IqError as e:
        assert any(c.tag.endswith("}forbidden") for c in e.iq.xml.iter()), e

    gw.disconnect()
    await phone.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

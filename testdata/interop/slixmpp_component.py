"""A slixmpp component as gateways are: what it may do with contacts, messages, presence and
requests of users (XEP-0356), and what it answers in the place of the server (XEP-0355).

Arguments: port for clients, certificate file, port for components.
"""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from slixmpp_person import Person

where, port = sys.argv[1:3], int(sys.argv[3])
GW, HOST, SECRET = "telegram.localhost", "localhost", "a-secret-of-slixmpp"
J, R, FRIEND = "juliet@localhost", "romeo@localhost", "mercutio@telegram.localhost"
FORWARD, DELEGATION, PRIVILEGE = "{urn:xmpp:forward:0}", "{urn:xmpp:delegation:2}", "{urn:xmpp:privilege:2}"
OWN = "urn:example:own"


class Gateway(slixmpp.ComponentXMPP):
    def __init__(self):
        super().__init__(GW, SECRET, "127.0.0.1", port)
        for plugin in ("xep_0030", "xep_0077", "xep_0100", "xep_0128", "xep_0199", "xep_0356"):
            self.register_plugin(plugin)
        self["xep_0030"].add_identity("gateway", "telegram", name="Telegram")
        node = "urn:xmpp:delegation:2::" + OWN
        self["xep_0030"].add_identity("automation", "example", node=node)
        self["xep_0030"].add_feature(OWN + "#more", node=node)
        self.server_host = HOST  # messages in users' names go there, whatever address was dialled
        self.heard, self.news = [], asyncio.Condition()
        self.add_event_handler("presence_available", lambda p: self.note("available", str(p["from"])))
        self.add_event_handler("presence_unavailable", lambda p: self.note("unavailable", str(p["from"])))
        self.add_event_handler("message", lambda m: self.note("message", str(m["from"]), m["body"]))
        self.add_event_handler("privileges_advertised", lambda _: self.note("privileges"))
        self.register_handler(Callback("delegated", MatchXPath("{jabber:component:accept}iq/%sdelegation" % DELEGATION), self.delegated))
        self.register_handler(Callback("told", MatchXPath("{jabber:component:accept}message/%sdelegation" % DELEGATION), self.told))
        self.register_handler(Callback("pushed", MatchXPath("{jabber:component:accept}iq/{jabber:iq:roster}query"), self.pushed))

    def note(self, *what):
        self.heard.append(what)

        async def wake():
            async with self.news:
                self.news.notify_all()
        asyncio.ensure_future(wake())

    async def hears(self, *what):
        async def there():
            async with self.news:
                await self.news.wait_for(lambda: what in self.heard)
        try:
            await asyncio.wait_for(there(), 30)
        except asyncio.TimeoutError:
            sys.exit("the gateway did not get %r; there is %r" % (what, self.heard))
        self.heard.remove(what)

    def told(self, m):
        for d in m.xml.find(DELEGATION + "delegation"):
            self.note("delegated", d.get("namespace"))

    def pushed(self, iq):
        if iq["type"] == "set":
            for item in iq.xml.find("{jabber:iq:roster}query"):
                self.note("push", str(iq["from"]), item.get("jid"), item.get("subscription"))
            self.make_iq_result(iq["id"], ito=iq["from"], ifrom=GW).send()

    def delegated(self, iq):
        """Answers what the server would, in its place (XEP-0355 §4.3)."""
        asked = iq.xml.find("%sdelegation/%sforwarded/" % (DELEGATION, FORWARD))
        self.note("asked", asked.get("from"), asked.get("to"), asked.get("type"))
        answer = self.make_iq_result(iq["id"], ito=iq["from"], ifrom=GW)
        inner = ET.SubElement(ET.SubElement(ET.SubElement(answer.xml, DELEGATION + "delegation"), FORWARD + "forwarded"), "{jabber:client}iq")
        for name, value in (("to", asked.get("from")), ("from", asked.get("to")), ("id", asked.get("id")), ("type", "result")):
            if value:
                inner.set(name, value)
        ET.SubElement(inner, "{%s}answer" % OWN).text = "from outside"
        answer.send()

    def as_user(self, typ, user, payload, to=None, id="inner-1"):
        """A request in the name of a user (XEP-0356 §6.3)."""
        iq = self.make_iq(ito=user, ifrom=GW, itype=typ)
        inner = ET.SubElement(ET.SubElement(iq.xml, PRIVILEGE + "privileged_iq"), "{jabber:client}iq", type=typ, id=id)
        if to:
            inner.set("to", to)
        inner.append(payload)
        return iq.send(timeout=30)


async def refused(awaitable, condition):
    try:
        await awaitable
    except IqError as e:
        # A component of slixmpp does not find the condition itself: it looks in jabber:client.
        assert any(c.tag.endswith("}" + condition) for c in e.iq.xml.iter()), e
    else:
        sys.exit("this was to be refused with " + condition)


async def main():
    phone = await Person("juliet", "phone", *where, plugins=("xep_0280", "xep_0313")).comes()
    await phone["xep_0280"].enable()
    try:
        await phone["xep_0030"].get_info(jid=GW, timeout=30)
        sys.exit("a gateway that is not there answers")
    except IqError as e:
        assert (e.condition, e.etype) == ("remote-server-timeout", "wait"), e

    gw = Gateway()
    gw.connect("127.0.0.1", port)
    await gw.hears("privileges")
    granted = gw["xep_0356"].granted_privileges
    assert granted["roster"] == "both" and granted["message"] == "outgoing" and granted["presence"] == "managed_entity", granted
    await gw.hears("delegated", OWN)

    # Who is there, who comes and who goes (XEP-0356 §7).
    await gw.hears("available", J + "/phone")
    romeo = await Person("romeo", "r", *where).comes()
    await gw.hears("available", R + "/r")
    await romeo.leaves()
    await gw.hears("unavailable", R + "/r")
    romeo = await Person("romeo", "r", *where).comes()
    await gw.hears("available", R + "/r")

    # The gateway is found, says what it is, and people register with it (XEP-0100 §4.1).
    items = {str(i[0]) for i in (await phone["xep_0030"].get_items(jid=HOST))["disco_items"]["items"]}
    assert GW in items, items
    info = (await phone["xep_0030"].get_info(jid=GW))["disco_info"]
    assert any(i[:2] == ("gateway", "telegram") for i in info["identities"]), info
    iq = phone.make_iq_get(ito=GW)
    ET.SubElement(iq.xml, "{jabber:iq:register}query")
    form = await iq.send(timeout=30)
    assert form.xml.find("{jabber:iq:register}query") is not None, form

    # Contacts (XEP-0356 §4): its own with subscriptions, those of others as clients add them.
    assert len((await gw["xep_0356"].get_roster(J))["roster"]["items"]) == 0
    await gw["xep_0356"].set_roster(J, {FRIEND: {"name": "Mercutio", "subscription": "both", "groups": ["Telegram"]}})
    await phone.gets(FRIEND, "both", "", ("Telegram",))
    await gw.hears("push", J, FRIEND, "both")
    await gw.hears("available", J + "/phone")  # juliet's presence goes to him now
    gw.send_presence(pto=J, pfrom=FRIEND + "/tg")
    await phone.hears("available", FRIEND + "/tg")
    await gw["xep_0356"].set_roster(J, {R: {"name": "Romeo", "subscription": "both", "groups": []}})
    await phone.gets(R, "none", "", ())
    await refused(romeo.make_iq_get(queryxmlns="jabber:iq:roster", ito=J).send(timeout=30), "forbidden")

    # What juliet has written elsewhere is in her archive and on her devices (XEP-0356 §5).
    carbon = asyncio.get_event_loop().create_future()
    phone.add_event_handler("carbon_sent", lambda m: carbon.done() or carbon.set_result(m["carbon_sent"]))
    msg = gw.make_message(mto=R, mfrom=J, mbody="Written in the other network", mtype="chat")
    gw["xep_0356"].send_privileged_message(msg)
    await romeo.hears("message", "Written in the other network", False)
    sent = await asyncio.wait_for(carbon, 30)
    assert sent["body"] == "Written in the other network" and sent["from"] == J, sent
    gw["xep_0356"].send_privileged_message(gw.make_message(mto=FRIEND, mfrom=J, mbody="Hello, my friend", mtype="chat"))
    await gw.hears("message", J, "Hello, my friend")
    archive = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in (await phone["xep_0313"].retrieve(timeout=30))["mam"]["results"]]
    assert archive == ["Written in the other network", "Hello, my friend"], archive

    # Requests in users' names (XEP-0356 §6).
    note = ET.Element("{jabber:iq:private}query")
    ET.SubElement(note, "{urn:example:note}note").text = "kept"
    answer = await gw.as_user("set", J, note)
    inner = answer.xml.find("%sprivilege/%sforwarded/{jabber:client}iq" % (PRIVILEGE, FORWARD))
    assert inner is not None and (inner.get("type"), inner.get("id")) == ("result", "inner-1"), answer
    iq = phone.make_iq_get()
    ET.SubElement(ET.SubElement(iq.xml, "{jabber:iq:private}query"), "{urn:example:note}note")
    kept = (await iq.send(timeout=30)).xml.find("{jabber:iq:private}query/{urn:example:note}note")
    assert kept is not None and kept.text == "kept", kept
    await refused(gw.as_user("get", J, ET.Element("{jabber:iq:version}query"), to=R + "/r"), "forbidden")
    await refused(gw.as_user("get", "nobody@localhost", ET.Element("{jabber:iq:private}query")), "forbidden")

    # What is delegated (XEP-0355): the answer comes from who was asked.
    for to in (HOST, J, None):
        iq = phone.make_iq_get(ito=to)
        ET.SubElement(iq.xml, "{%s}question" % OWN)
        answer = await iq.send(timeout=30)
        assert answer.xml.find("{%s}answer" % OWN).text == "from outside", answer
        assert str(answer["from"]) in (to or J, ""), answer
        await gw.hears("asked", J + "/phone", to, "get")
    features = (await phone["xep_0030"].get_info(jid=HOST))["disco_info"]["features"]
    assert OWN + "#more" in features and "urn:xmpp:delegation:2" in features, features

    gw.disconnect()
    for who in (phone, romeo):
        await who.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

"""A slixmpp client is the service of a mobile client (XEP-0357), which enables it and goes: it
is told that something has come, not what, until it says that it does not know the client.

Arguments: port, certificate file.
"""
import asyncio
import sys

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from slixmpp_person import Person

where = sys.argv[1:]
J, APP = "juliet@localhost", "app@localhost/service"
PUSH = "{urn:xmpp:push:0}"
PUBLISH_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options"


class Service:
    """Takes what is published, with slixmpp's own reading of XEP-0060."""

    def __init__(self, person):
        self.person, self.told, self.knows = person, [], {"token-1", "token-2"}
        person.register_handler(Callback("publish", StanzaPath("iq@type=set/pubsub/publish"), self.published))

    def published(self, iq):
        publish = iq["pubsub"]["publish"]
        node = publish["node"]
        options = iq["pubsub"]["publish_options"]  # a form, or None
        secret = options.get_values().get("secret") if options else None
        note = next(iter(publish)).xml.find(PUSH + "notification")
        assert iq["from"] == "localhost" and note is not None, iq
        if node not in self.knows:
            answer = self.person.make_iq_error(iq["id"], type="cancel", condition="item-not-found", ito=iq["from"])
            answer.send()
        else:
            iq.reply(clear=True).send()
        self.person.note(self.told, (node, secret, len(note)))

    async def hears(self, *what):
        await self.person.waits(self.told, what)
        self.told.remove(what)

    async def quiet(self):
        await self.person.settled()
        await asyncio.sleep(0.3)
        assert not self.told, self.told


def request(client, name, node, secret=None):
    iq = client.make_iq_set()
    e = ET.SubElement(iq.xml, PUSH + name, jid=APP, node=node)
    if secret:
        form = client["xep_0004"].make_form(ftype="submit")
        form.add_field(var="FORM_TYPE", ftype="hidden", value=PUBLISH_OPTIONS)
        form.add_field(var="secret", value=secret)
        e.append(form.xml)
    return iq.send(timeout=30)


async def goes(device, witness):
    """Leaves, and returns when that has happened for others, which is after the stream has ended."""
    device.send_presence(pto=witness.boundjid)
    await witness.has("available", str(device.boundjid))
    await device.leaves()
    await witness.has("unavailable", str(device.boundjid))


async def main():
    service = Service(await Person("app", "service", *where, plugins=("xep_0060",)).comes(present=False))
    romeo = await Person("romeo", "r", *where).comes()
    phone = await Person("juliet", "phone", *where).comes()
    info = await phone["xep_0030"].get_info(jid=J)
    assert "urn:xmpp:push:0" in info["disco_info"]["features"], info
    await request(phone, "enable", "token-1", "eruio234vzxc2kla-91")
    romeo.send_message(J, "Art thou there?", mtype="chat")
    await phone.has("message", "Art thou there?", False)
    await service.quiet()  # it is

    desk = await Person("juliet", "desk", *where).comes()
    await request(desk, "enable", "token-2")
    await goes(phone, romeo)
    romeo.send_message(J, "And now?", mtype="chat")
    await desk.has("message", "And now?", False)
    await service.hears("token-1", "eruio234vzxc2kla-91", 0)  # nothing of what it is
    await service.quiet()

    await goes(desk, romeo)
    romeo.send_message(J, "Hist!", mtype="chat")
    await service.hears("token-1", "eruio234vzxc2kla-91", 0)
    await service.hears("token-2", None, 0)
    m = romeo.make_message(J, mtype="chat")  # somebody types: nobody is woken for that
    ET.SubElement(m.xml, "{http://jabber.org/protocol/chatstates}composing")
    m.send()
    await romeo.settled()
    await service.quiet()

    service.knows.remove("token-1")  # the application was removed from the phone
    romeo.send_message(J, "Hist again!", mtype="chat")
    await service.hears("token-1", "eruio234vzxc2kla-91", 0)
    await service.hears("token-2", None, 0)
    await service.person.settled()  # the server has its answer
    romeo.send_message(J, "And again!", mtype="chat")
    await service.hears("token-2", None, 0)
    await service.quiet()

    desk = await Person("juliet", "desk", *where).comes()
    for body in ("Hist!", "Hist again!", "And again!"):  # what was told of waits here
        await desk.has("message", body, True)
    await request(desk, "disable", "token-2")
    await goes(desk, romeo)
    romeo.send_message(J, "Good night!", mtype="chat")
    await romeo.settled()
    await service.quiet()
    try:
        iq = romeo.make_iq_set(ito=J)
        ET.SubElement(iq.xml, PUSH + "enable", jid="romeo@localhost/r", node="spy")
        await iq.send(timeout=30)
        sys.exit("somebody else may be told of what comes")
    except IqError as e:
        assert e.condition == "forbidden", e
    for who in (romeo, service.person):
        await who.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

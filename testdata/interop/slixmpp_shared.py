"""Two slixmpp clients who never asked for each other are in a shared group: each has the
other in the roster, sees the presence and chats. Then one searches for the other by a form.

Arguments: port, certificate file.
"""
import asyncio
import sys

import slixmpp

port, cert = sys.argv[1:]


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.ca_certs = cert
        for plugin in ("xep_0004", "xep_0030", "xep_0054", "xep_0055", "xep_0199"):
            self.register_plugin(plugin)
        self.auto_authorize = self.auto_subscribe = None  # nothing by itself
        self.events = asyncio.Queue()
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("got_online", lambda p: self.events.put_nowait(("online", p["from"].bare)))
        self.add_event_handler("got_offline", lambda p: self.events.put_nowait(("offline", p["from"].bare)))
        self.add_event_handler("message", lambda m: self.events.put_nowait(("message", m["body"])))
        self.asked = False
        self.add_event_handler("presence_subscribe", self.was_asked)

    def was_asked(self, _):
        self.asked = True

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        if not self.ready.done():
            self.ready.set_result(True)

    async def sees(self, *event):
        async def wait():
            while await self.events.get() != event:
                pass

        try:
            await asyncio.wait_for(wait(), 30)
        except asyncio.TimeoutError:
            sys.exit("%s did not see %s" % (self.boundjid, event))


async def login(user):
    c = Client(user + "@localhost", "pw-" + user)
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def main():
    juliet, romeo = await login("juliet"), await login("romeo")
    await juliet.sees("online", "romeo@localhost")
    await romeo.sees("online", "juliet@localhost")
    for client, other in ((juliet, "romeo@localhost"), (romeo, "juliet@localhost")):
        item = client.client_roster[other]
        assert item["subscription"] == "both" and item["groups"] == ["Everybody"], item
        assert item["name"] == other.split("@")[0], item
        assert client.boundjid.bare not in client.client_roster or client.client_roster[client.boundjid.bare]["subscription"] == "none"
    juliet.send_message("romeo@localhost", "Good night, good night!")
    await romeo.sees("message", "Good night, good night!")

    # A client that asks or takes away all the same loses nothing by it.
    juliet.send_presence_subscription("romeo@localhost")
    try:
        await juliet.del_roster_item("romeo@localhost")
        sys.exit("a shared contact was removed")
    except slixmpp.exceptions.IqError as e:
        assert e.condition == "not-allowed", e.condition
    await juliet.get_roster()
    assert juliet.client_roster["romeo@localhost"]["subscription"] == "both", juliet.client_roster
    romeo.send_message("juliet@localhost", "Sleep dwell upon thine eyes")
    await juliet.sees("message", "Sleep dwell upon thine eyes")
    assert not romeo.asked and not juliet.asked

    card = romeo["xep_0054"].make_vcard()
    card["FN"] = "Romeo Montague"
    card["N"]["GIVEN"], card["N"]["FAMILY"] = "Romeo", "Montague"
    await romeo["xep_0054"].publish_vcard(card)
    info = await juliet["xep_0030"].get_info(jid="localhost")
    assert "jabber:iq:search" in info["disco_info"]["features"], info
    iq = juliet.make_iq_set(ito="localhost")
    iq["search"]["form"]["type"] = "submit"
    iq["search"]["form"].add_field(var="FORM_TYPE", ftype="hidden", value="jabber:iq:search")
    iq["search"]["form"].add_field(var="last", ftype="text-single", value="monta")
    found = await iq.send()
    items = found["search"]["form"].get_items()
    assert [i["jid"] for i in items] == ["romeo@localhost"] and items[0]["first"] == "Romeo", found

    romeo.disconnect()
    await juliet.sees("offline", "romeo@localhost")
    juliet.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

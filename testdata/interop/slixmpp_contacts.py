"""Two slixmpp clients become contacts, see each other come and go, and use what a server
keeps for them: vCards with photos, private data, last activity.

Arguments: port, certificate file.
"""
import asyncio
import hashlib
import sys

import slixmpp

port, cert = sys.argv[1:]


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.ca_certs = cert
        for plugin in ("xep_0012", "xep_0030", "xep_0049", "xep_0054", "xep_0115", "xep_0153", "xep_0199"):
            self.register_plugin(plugin)
        self.events = asyncio.Queue()
        self.photos = asyncio.Queue()
        self.add_event_handler(
            "vcard_avatar_update", lambda p: self.photos.put_nowait((p["from"].bare, p["vcard_temp_update"]["photo"])))
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)
        for name in ("presence_subscribe", "presence_subscribed", "presence_unsubscribed", "got_online", "got_offline"):
            self.add_event_handler(name, lambda p, name=name: self.events.put_nowait((name, p["from"].bare)))

    async def started(self, _):
        await self.get_roster()
        await self["xep_0115"].update_caps()
        self.send_presence(pstatus="here")
        if not self.ready.done():
            self.ready.set_result(True)

    async def sees(self, name, bare):
        async def wait():
            while await self.events.get() != (name, bare):
                pass

        try:
            await asyncio.wait_for(wait(), 30)
        except asyncio.TimeoutError:
            sys.exit("%s did not see %s of %s" % (self.boundjid, name, bare))


    async def shown(self, bare, photo):
        async def wait():
            while await self.photos.get() != (bare, photo):
                pass

        try:
            await asyncio.wait_for(wait(), 30)
        except asyncio.TimeoutError:
            sys.exit("%s was not shown the photo %s of %s" % (self.boundjid, photo, bare))


async def login(user):
    c = Client(user + "@localhost", "pw-" + user)
    c.auto_authorize = c.auto_subscribe = None  # nothing by itself
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def main():
    juliet, romeo = await login("juliet"), await login("romeo")
    juliet.send_presence_subscription("romeo@localhost")
    await romeo.sees("presence_subscribe", "juliet@localhost")
    romeo.send_presence(pto="juliet@localhost", ptype="subscribed")
    await juliet.sees("got_online", "romeo@localhost")
    romeo.send_presence_subscription("juliet@localhost")
    await juliet.sees("presence_subscribe", "romeo@localhost")
    juliet.send_presence(pto="romeo@localhost", ptype="subscribed")
    await romeo.sees("got_online", "juliet@localhost")
    await juliet.get_roster()  # behind the last push; what it holds is the newest
    assert juliet.client_roster["romeo@localhost"]["subscription"] == "both", juliet.client_roster

    info = await juliet["xep_0030"].get_info(jid="romeo@localhost")  # a subscriber may ask
    assert ("account", "registered") in [i[:2] for i in info["disco_info"]["identities"]], info

    card = romeo["xep_0054"].make_vcard()
    card["FN"] = "Romeo Montague"
    await romeo["xep_0054"].publish_vcard(card)
    got = await juliet["xep_0054"].get_vcard("romeo@localhost")
    assert got["vcard_temp"]["FN"] == "Romeo Montague", got

    image = b"\x89PNG\r\n\x1a\n and more"
    card["PHOTO"]["TYPE"], card["PHOTO"]["BINVAL"] = "image/png", image
    await romeo["xep_0054"].publish_vcard(card)  # the client itself says nothing of it in presence
    await juliet.shown("romeo@localhost", hashlib.sha1(image).hexdigest())

    romeo.disconnect()
    await juliet.sees("got_offline", "romeo@localhost")
    last = await juliet["xep_0012"].get_last_activity("romeo@localhost")
    assert 0 <= last["last_activity"]["seconds"] < 60, last

    romeo = await login("romeo")  # and again, without asking
    await juliet.sees("got_online", "romeo@localhost")
    await juliet.shown("romeo@localhost", hashlib.sha1(image).hexdigest())
    await romeo.sees("got_online", "juliet@localhost")
    juliet.send_presence(pto="romeo@localhost", ptype="unsubscribed")
    await romeo.sees("got_offline", "juliet@localhost")
    juliet.disconnect()
    romeo.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

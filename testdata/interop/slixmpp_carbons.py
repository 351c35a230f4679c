"""Three slixmpp clients: romeo with a desk and a phone, who both want copies (XEP-0280), and
juliet. Each of romeo's devices shows both sides of the conversation, whichever one it is
held on, and nothing twice; what is private stays where it was sent. The ids by which the own
archive has all of it (XEP-0359) are in it, also in the copies.

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
        for plugin in ("xep_0030", "xep_0199", "xep_0280", "xep_0297", "xep_0313", "xep_0359"):
            self.register_plugin(plugin)
        self.events, self.ids = asyncio.Queue(), {}
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.got)
        self.add_event_handler("carbon_sent", lambda m: self.copied("sent", m["carbon_sent"]))
        self.add_event_handler("carbon_received", lambda m: self.copied("received", m["carbon_received"]))

    def got(self, m):
        if m["body"]:
            self.named(m)
            self.events.put_nowait(("message", m["from"].full, m["body"]))

    def named(self, m):
        """Notes the id of a message, which is in it once, and by the own archive."""
        own = [e.get("id") for e in m.xml.findall("{urn:xmpp:sid:0}stanza-id") if e.get("by") == self.boundjid.bare]
        assert len(own) == 1, m
        self.ids[m["body"]] = own[0]

    def copied(self, way, m):
        self.named(m)
        self.events.put_nowait((way, m["from"].full, m["to"].full, m["body"]))

    async def started(self, _):
        self.send_presence()
        if not self.ready.done():
            self.ready.set_result(True)

    async def sees(self, *event):
        try:
            got = await asyncio.wait_for(self.events.get(), 30)
        except asyncio.TimeoutError:
            sys.exit("%s did not see %s" % (self.boundjid, event))
        assert got == event, "%s saw %s instead of %s" % (self.boundjid, got, event)

    async def sees_nothing(self):
        await self["xep_0199"].ping(self.boundjid.host)
        assert self.events.empty(), "%s saw %s" % (self.boundjid, self.events.get_nowait())


async def login(user, resource):
    c = Client(user + "@localhost/" + resource, "pw-" + user)
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def main():
    desk, phone, juliet = await login("romeo", "desk"), await login("romeo", "phone"), await login("juliet", "balcony")
    info = await desk["xep_0030"].get_info(jid="localhost")
    for feature in ("urn:xmpp:carbons:2", "urn:xmpp:carbons:rules:0"):
        assert feature in info["disco_info"]["features"], info
    for c in (desk, phone, phone):
        await c["xep_0280"].enable()
    r, j = "romeo@localhost", "juliet@localhost"

    juliet.send_message(r + "/desk", "What man art thou?", mtype="chat")
    await desk.sees("message", j + "/balcony", "What man art thou?")
    await phone.sees("received", j + "/balcony", r + "/desk", "What man art thou?")
    phone.send_message(j, "I know not how to tell thee", mtype="chat")
    await juliet.sees("message", r + "/phone", "I know not how to tell thee")
    await desk.sees("sent", r + "/phone", j, "I know not how to tell thee")
    juliet.send_message(r, "How camest thou hither?", mtype="chat")
    for c in (desk, phone):
        await c.sees("message", j + "/balcony", "How camest thou hither?")

    # A device that reads the archive now shows none of it again.
    results = (await phone["xep_0313"].retrieve(timeout=30))["mam"]["results"]
    names = {r["mam_result"]["forwarded"]["stanza"]["body"]: r["mam_result"]["id"] for r in results}
    said = ["What man art thou?", "I know not how to tell thee", "How camest thou hither?"]
    assert list(names) == said and desk.ids == names, (names, desk.ids)
    assert phone.ids == {b: names[b] for b in (said[0], said[2])}, phone.ids  # what it has said itself is not named to it

    m = desk.make_message(j, "With love's light wings", mtype="chat")
    m.enable("carbon_private")
    m.send()
    await juliet.sees("message", r + "/desk", "With love's light wings")
    await phone.sees_nothing()
    await desk["xep_0280"].disable()
    phone.send_message(j, "And what love can do", mtype="chat")
    await juliet.sees("message", r + "/phone", "And what love can do")
    for c in (desk, phone, juliet):
        await c.sees_nothing()
        c.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

"""Two slixmpp clients log in and talk to each other, both ways.

Arguments: port, certificate file, newest TLS version (1.2 or 1.3), mechanism that must be
used, "-" for any.
"""
import asyncio
import ssl
import sys

import slixmpp

port, cert, version, mechanism = sys.argv[1:]


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.ca_certs = cert
        loop = asyncio.get_event_loop()
        self.ready, self.heard = loop.create_future(), loop.create_future()
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.message)
        self.add_event_handler("failed_auth", lambda _: print("failed_auth", flush=True))

    def get_ssl_context(self):
        ctx = super().get_ssl_context()
        if version == "1.2":
            ctx.maximum_version = ssl.TLSVersion.TLSv1_2
        return ctx

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        self.ready.set_result(True)

    def message(self, msg):
        if msg["body"] and not self.heard.done():
            self.heard.set_result((str(msg["from"]), msg["body"]))


async def main():
    juliet, romeo = Client("juliet@localhost", "pw-juliet"), Client("romeo@localhost", "pw-romeo")
    for c in (juliet, romeo):
        c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(asyncio.gather(juliet.ready, romeo.ready), 30)
    for c in (juliet, romeo):
        used = c["feature_mechanisms"].mech.name
        print("mechanism", used, flush=True)
        if mechanism != "-" and used != mechanism:
            sys.exit("used " + used)
    juliet.send_message("romeo@localhost", "What man art thou?", mtype="chat")
    sender, body = await asyncio.wait_for(romeo.heard, 30)
    assert sender == str(juliet.boundjid) and body == "What man art thou?", (sender, body)
    romeo.send_message(str(juliet.boundjid), "By a name I know not how to tell thee", mtype="chat")
    sender, body = await asyncio.wait_for(juliet.heard, 30)
    assert sender == str(romeo.boundjid) and body.startswith("By a name"), (sender, body)
    for c in (juliet, romeo):
        c.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

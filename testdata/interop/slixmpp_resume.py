"""A slixmpp client loses its connection again and again, and goes on with its session
(XEP-0198): what is said meanwhile, by it and to it, arrives once and in order.

Arguments: port, certificate file.
"""
import asyncio
import sys

import slixmpp

from cutting import Wire

port, cert = sys.argv[1:]


class Client(slixmpp.ClientXMPP):
    def __init__(self, user, port, managed):
        super().__init__(user + "@localhost/home", "pw-" + user)
        self.ca_certs, self.where = cert, ("127.0.0.1", int(port))
        self.register_plugin("xep_0199")
        if managed:
            self.end_session_on_disconnect = False
            self.register_plugin("xep_0198")
        self.heard, self.resumed, self.enabled = [], 0, asyncio.Event()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("sm_enabled", lambda _: self.enabled.set())
        self.add_event_handler("session_resumed", self.again)
        self.add_event_handler("message", lambda m: self.heard.append(m["body"]))
        self.add_event_handler("presence_unavailable", lambda p: self.heard.append("gone"))

    def again(self, _):
        self.resumed += 1

    async def comes(self):
        self.connect(self.where)
        await asyncio.wait_for(self.ready.wait(), 30)
        self.send_presence()


async def until(what, ok):
    for _ in range(600):
        if ok():
            return
        await asyncio.sleep(0.05)
    sys.exit("not in time: " + what)


async def main():
    wire = Wire(port)
    juliet, romeo = Client("juliet", wire.port, True), Client("romeo", port, False)
    await juliet.comes()
    await romeo.comes()
    await asyncio.wait_for(juliet.enabled.wait(), 30)
    juliet.send_presence(pto=romeo.boundjid.full)
    said, want, back = 0, [], []
    for round in range(1, 5):
        for _ in range(3):
            romeo.send_message(juliet.boundjid.full, str(said), mtype="chat")
            want.append(str(said))
            said += 1
        await until("the messages of round %d: %r" % (round, juliet.heard), lambda: juliet.heard == want)
        juliet.send_message("romeo@localhost/home", "back %d" % round, mtype="chat")
        back.append("back %d" % round)
        await juliet["xep_0199"].ping("localhost")
        gone = asyncio.get_event_loop().create_future()
        juliet.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(None), disposable=True)
        wire.cut()
        await asyncio.wait_for(gone, 30)
        for _ in range(3):
            romeo.send_message(juliet.boundjid.full, str(said), mtype="chat")
            want.append(str(said))
            said += 1
        await romeo["xep_0199"].ping("localhost")
        juliet.connect(juliet.where)
        await until("resumption %d" % round, lambda: juliet.resumed == round)
    await until("all messages: %r" % juliet.heard, lambda: len(juliet.heard) >= len(want))
    await romeo["xep_0199"].ping("localhost")
    await juliet["xep_0199"].ping("localhost")
    assert juliet.heard == want, juliet.heard
    assert romeo.heard == back, romeo.heard
    juliet.disconnect()
    await until("romeo sees juliet go: %r" % romeo.heard, lambda: romeo.heard == back + ["gone"])
    romeo.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

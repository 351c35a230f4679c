"""A slixmpp client says that nobody looks at it, and is told of others' presence only when
something comes that cannot wait.

Arguments: port, certificate file.
"""
import asyncio
import sys

import slixmpp

port, cert = sys.argv[1:]


class Client(slixmpp.ClientXMPP):
    def __init__(self, user):
        super().__init__(user + "@localhost", "pw-" + user)
        self.ca_certs = cert
        for plugin in ("xep_0085", "xep_0199", "xep_0352"):
            self.register_plugin(plugin)
        self.heard = []
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", lambda m: self.heard.append(m["body"]))
        for state in ("composing", "paused"):
            self.add_event_handler("chatstate_" + state, lambda m, state=state: self.heard.append(state))
        self.add_event_handler("changed_status", lambda p: self.heard.append(p["show"] or p["type"]))

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        self.ready.set_result(True)


async def login(user):
    c = Client(user)
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def main():
    juliet, romeo = await login("juliet"), await login("romeo")
    assert juliet["xep_0352"].enabled, "the server's feature was not seen"
    await juliet["xep_0199"].ping("localhost")
    juliet.heard.clear()
    juliet["xep_0352"].send_inactive()
    await juliet["xep_0199"].ping("localhost")

    for show in ("away", "dnd"):
        romeo.send_presence(pto=juliet.boundjid.full, pshow=show)
    for state in ("composing", "paused"):
        m = romeo.make_message(juliet.boundjid.full, mtype="chat")
        m["chat_state"] = state
        m.send()
    await romeo["xep_0199"].ping("localhost")
    await asyncio.sleep(0.5)  # a question of hers would have them come
    assert juliet.heard == [], juliet.heard
    romeo.send_message(juliet.boundjid.full, "look", mtype="chat")
    for _ in range(600):
        if "look" in juliet.heard:
            break
        await asyncio.sleep(0.05)
    assert juliet.heard == ["dnd", "paused", "look"], juliet.heard

    romeo.send_presence(pto=juliet.boundjid.full, pshow="xa")
    await romeo["xep_0199"].ping("localhost")
    juliet["xep_0352"].send_active()
    await juliet["xep_0199"].ping("localhost")
    assert juliet.heard[3:] == ["xa"], juliet.heard
    for c in (juliet, romeo):
        c.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

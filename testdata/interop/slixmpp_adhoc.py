"""A slixmpp client runs the server's commands as an administrator, and another one finds
that it may not.

Arguments: port, certificate file. juliet is an administrator, romeo is none.
"""
import asyncio
import sys

import slixmpp
from slixmpp.exceptions import IqError

port, cert = sys.argv[1:]
ADMIN = "http://jabber.org/protocol/admin"


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        self.ca_certs = cert
        for plugin in ("xep_0004", "xep_0030", "xep_0050", "xep_0133", "xep_0199"):
            self.register_plugin(plugin)
        self.heard = asyncio.Queue()
        self.ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", self.started)
        self.register_handler(slixmpp.xmlstream.handler.Callback(
            "headlines", slixmpp.xmlstream.matcher.MatchXPath("{jabber:client}message"), self.heard.put_nowait))

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        if not self.ready.done():
            self.ready.set_result(True)

    async def hears(self, typ, body):
        msg = await asyncio.wait_for(self.heard.get(), 30)
        assert (msg["type"], msg["from"], msg["body"]) == (typ, "localhost", body), msg


async def login(user, password=None):
    c = Client(user + "@localhost", password or "pw-" + user)
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def run(client, command, answers, wrong=None):
    """Goes through a command of xep_0133 with slixmpp's own sessions, and returns the last
    answer. wrong is submitted first, and has to be refused within the same command."""
    end = asyncio.get_event_loop().create_future()
    left = [wrong] if wrong is not None else []

    def fill(iq, session, values):
        form = iq["command"]["form"] if iq["type"] == "result" else session["asked"]
        session["asked"] = form
        session["payload"] = form
        form["type"] = "submit"
        form.set_values(values)
        session["next"] = lambda iq, session: end.done() or end.set_result(iq)
        client["xep_0050"].complete_command(session)

    def answered(iq, session):
        assert iq["command"]["status"] == "executing", iq
        assert "complete" in iq["command"]["actions"], iq
        fill(iq, session, left[0] if left else answers)

    def refused(iq, session):
        if left:
            left.pop()
            fill(iq, session, answers)
        elif not end.done():
            end.set_result(iq)

    getattr(client["xep_0133"], command)(jid="localhost", session={"next": answered, "error": refused})
    return await asyncio.wait_for(end, 30)


async def main():
    juliet, romeo = await login("juliet"), await login("romeo")

    info = await juliet["xep_0030"].get_info(jid="localhost")
    assert {"http://jabber.org/protocol/commands", "jabber:x:data"} <= set(info["disco_info"]["features"]), info
    mine = await juliet["xep_0050"].get_commands("localhost")
    nodes = [node for _, node, _ in mine["disco_items"]["items"]]
    assert ADMIN + "#add-user" in nodes and ADMIN + "#set-motd" in nodes, nodes
    his = {i[1] for i in (await romeo["xep_0050"].get_commands("localhost"))["disco_items"]["items"]}
    assert his == {"urn:x-parley:upload#files"}, his
    info = await juliet["xep_0030"].get_info(jid="localhost", node=ADMIN + "#add-user")
    assert ("automation", "command-node") in [i[:2] for i in info["disco_info"]["identities"]], info
    try:
        await romeo["xep_0050"].send_command("localhost", ADMIN + "#add-user")
        sys.exit("romeo may add users")
    except IqError as e:
        assert e.condition == "forbidden", e.iq

    nurse = {"accountjid": "nurse@localhost", "password": "pw-nurse", "password-verify": "pw-nurse"}
    iq = await run(juliet, "add_user", nurse, wrong=dict(nurse, **{"password-verify": "pw-nurze"}))
    assert iq["command"]["status"] == "completed", iq
    iq = await run(juliet, "add_user", nurse)
    assert iq["error"]["condition"] == "conflict", iq
    angelica = await login("nurse")

    iq = await run(juliet, "get_registered_users_list", {"max_items": "25"})
    users = iq["command"]["form"].get_values()["registereduserjids"]
    assert set(users) == {"juliet@localhost", "nurse@localhost", "romeo@localhost"}, iq
    iq = await run(juliet, "get_user_lastlogin", {"accountjids": ["nurse@localhost"]})
    assert iq["command"]["form"].get_values()["lastlogin"].endswith("Z"), iq

    iq = await run(juliet, "announce", {"announcement": ["To all", "who are here"]})
    assert iq["command"]["status"] == "completed", iq
    for c in (juliet, romeo, angelica):
        await c.hears("headline", "To all\nwho are here")
    await run(juliet, "set_motd", {"motd": "Once"})
    for c in (juliet, romeo, angelica):
        await c.hears("headline", "Once")
    romeo.disconnect()
    await asyncio.sleep(0.3)
    romeo = await login("romeo")
    await asyncio.sleep(0.5)
    assert romeo.heard.empty(), romeo.heard.get_nowait()

    ended = asyncio.get_event_loop().create_future()
    angelica.add_event_handler("stream_error", lambda e: ended.done() or ended.set_result(e["condition"]))
    iq = await run(juliet, "delete_user", {"accountjids": ["nurse@localhost"]})
    assert iq["command"]["status"] == "completed" and iq["command"]["notes"] == [("info", "Deleted: 1")], iq
    assert await asyncio.wait_for(ended, 30) == "not-authorized"
    juliet.disconnect()
    romeo.disconnect()
    await asyncio.sleep(0.3)
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

"""A slixmpp client for scripts: it notes what it hears, and waits for what it should hear."""
import asyncio
import sys

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

PATIENCE = 30  # seconds, for what is sure to come
PLUGINS = ("xep_0004", "xep_0013", "xep_0030", "xep_0054", "xep_0115", "xep_0128", "xep_0191", "xep_0199", "xep_0203")
PRESENCE = ("available", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed")


class Person(slixmpp.ClientXMPP):
    def __init__(self, user, resource, port, cert, cache=None, plugins=()):
        super().__init__("%s@localhost/%s" % (user, resource), "pw-" + user)
        self.ca_certs, self.port = cert, int(port)
        for plugin in PLUGINS + plugins:
            self.register_plugin(plugin)
        if cache is not None:
            self.roster.set_backend(cache)
        self.roster.auto_authorize = self.roster.auto_subscribe = None  # nothing by itself
        self.heard, self.pushed, self.asked = [], [], 0
        self.register_handler(Callback("asked", StanzaPath("iq@type=get/ping"), self.was_asked))
        self.news = asyncio.Condition()
        for name in PRESENCE:
            self.add_event_handler("presence_" + name, lambda p, name=name: self.note(self.heard, (name, str(p["from"]))))
        self.add_event_handler("message", self.told)
        self.add_event_handler("message_error", lambda m: self.note(self.heard, ("error", m["error"]["condition"])))
        self.add_event_handler("roster_update", self.listing)
        self.add_event_handler("blocked", lambda iq: self.note(self.heard, ("block", *map(str, iq["block"]["items"]))))
        self.add_event_handler("unblocked", lambda iq: self.note(self.heard, ("unblock", *map(str, iq["unblock"]["items"]))))

    def note(self, where, what):
        where.append(what)
        asyncio.ensure_future(self.wake())

    def was_asked(self, _):
        self.asked += 1

    async def wake(self):
        async with self.news:
            self.news.notify_all()

    def told(self, m):
        delay = m.get_plugin("delay", check=True)
        if m["type"] != "error":
            self.note(self.heard, ("message", m["body"], delay is not None and delay["stamp"] is not None))

    def listing(self, iq):
        for jid, item in iq["roster"]["items"].items():
            what = (str(jid), item["subscription"], item["ask"], tuple(sorted(item["groups"])))
            if iq["type"] == "set":
                self.note(self.pushed, what)

    async def comes(self, present=True, **presence):
        """Logs in, asks for the roster and, if present, is there."""
        ready = asyncio.get_event_loop().create_future()
        self.add_event_handler("session_start", ready.set_result, disposable=True)
        self.connect(("127.0.0.1", self.port))
        await asyncio.wait_for(ready, PATIENCE)
        self.listed = await self.get_roster()
        if present:
            await self.shows(**presence)
        return self

    async def shows(self, **presence):
        await self["xep_0115"].update_caps(broadcast=False)
        self.send_presence(**presence)
        await self.hears("available", str(self.boundjid))

    async def leaves(self):
        """Logs out, as one who has said what it has: else it is given that again."""
        await self.settled()
        gone = asyncio.get_event_loop().create_future()
        self.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(None))
        self.disconnect()
        await asyncio.wait_for(gone, PATIENCE)

    async def waits(self, where, what):
        async def there():
            async with self.news:
                await self.news.wait_for(lambda: what in where)

        try:
            await asyncio.wait_for(there(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit("%s did not get %r; there is %r" % (self.boundjid, what, where))

    async def hears(self, *what):
        """Waits for something, and forgets what came before it."""
        await self.waits(self.heard, what)
        del self.heard[:self.heard.index(what) + 1]

    async def has(self, *what):
        """Waits for something, in whatever order it comes."""
        await self.waits(self.heard, what)
        self.heard.remove(what)

    async def gets(self, *item):
        """Waits for a push of the roster: address, subscription, ask, groups."""
        await self.waits(self.pushed, item)
        self.pushed.clear()

    async def settled(self):
        """Returns when the server has done all that this client has said, and knows what it has
        heard: it asks behind messages, and again behind those that came before it was answered."""
        asked = None
        while asked != self.asked:
            asked = self.asked
            await self["xep_0199"].send_ping("localhost", timeout=PATIENCE)

    async def heard_nothing(self, *kinds):
        """Whatever the server had to say stands before the answer."""
        await self.settled()
        bad = [h for h in self.heard if h[0] in kinds]
        assert not bad, (str(self.boundjid), bad)


async def become_contacts(one, other):
    """Each asks for the other's presence, and gets it (RFC 6121 §3.1)."""
    for a, b in ((one, other), (other, one)):
        a.client_roster.subscribe(b.boundjid.bare)
        await b.hears("subscribe", a.boundjid.bare)
        b.client_roster[a.boundjid.bare].authorize()
        await a.has("available", b.boundjid.full)


async def taken(user, port, cert):
    """Returns when nothing waits for an account (XEP-0013) any more: its clients have said that they
    have all that they were given."""
    watch = await Person(user, "watch", port, cert).comes(present=False)
    for _ in range(10 * PATIENCE):
        number = (await watch["xep_0013"].get_count())["disco_info"]["form"]["values"]["number_of_messages"]
        if number == "0":
            break
        await asyncio.sleep(0.1)
    else:
        sys.exit("%s messages for %s were not taken" % (number, user))
    await watch.leaves()


class Cache:
    """What slixmpp calls a backend: a roster, and its version, that outlive a connection."""

    def __init__(self):
        self.items, self.ver = {}, ""

    def entries(self, owner, _state=None):
        return [] if owner is None else list(self.items)

    def load(self, _owner, jid, _state):
        return self.items.get(jid)

    def save(self, _owner, jid, item, _state):
        if item.get("removed"):
            self.items.pop(jid, None)
        else:
            self.items[jid] = dict(item)

    def version(self, _owner):
        return self.ver

    def set_version(self, _owner, version):
        self.ver = version

"""A slixmpp client that goes into rooms (XEP-0045): it notes what it sees and hears there."""
import asyncio
import sys

from slixmpp.exceptions import IqError, PresenceError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from slixmpp_person import Person

PLUGINS = ("xep_0045", "xep_0059", "xep_0077", "xep_0082", "xep_0249", "xep_0297", "xep_0313", "xep_0359", "xep_0421", "xep_0422", "xep_0424", "xep_0425")
USER, ADMIN = "{http://jabber.org/protocol/muc#user}", "{http://jabber.org/protocol/muc#admin}"
OCCUPANT, DATA = "{urn:xmpp:occupant-id:0}", "{jabber:x:data}"


def found(xml, *path):
    """An attribute, the last of the path, or None if it is not there."""
    for name in path[:-1]:
        xml = None if xml is None else xml.find(name)
    return None if xml is None else xml.get(path[-1])


class Occupant(Person):
    def __init__(self, user, port, cert):
        super().__init__(user, "slixmpp", port, cert, plugins=PLUGINS)
        self.seen, self.said, self.refusals = [], [], []  # presences, messages, and errors in answer to presences
        self["xep_0045"].room = {}  # which 1.8.3 looks at when an invitation is declined, and does not have
        self.register_handler(Callback("seen", StanzaPath("presence"), self.see))
        self.register_handler(Callback("said", StanzaPath("message"), self.listen))

    def see(self, p):
        if p["type"] == "error":
            self.note(self.refusals, p)
        x = p.xml.find(USER + "x")
        if x is None:
            return
        item, destroy = x.find(USER + "item"), x.find(USER + "destroy")
        get = item.get if item is not None else lambda _: None
        self.note(self.seen, {
            "room": p["from"].bare, "nick": p["from"].resource, "type": p["type"], "affiliation": get("affiliation"), "role": get("role"), "jid": get("jid"),
            "new": get("nick"), "codes": {int(s.get("code")) for s in x.findall(USER + "status")}, "actor": found(x, USER + "item", USER + "actor", "nick"),
            "reason": x.findtext(USER + "item/" + USER + "reason"), "to": destroy.get("jid") if destroy is not None else None,
            "why": x.findtext(USER + "destroy/" + USER + "reason"), "id": found(p.xml, OCCUPANT + "occupant-id", "id"), "status": p["status"],
        })

    def listen(self, m):
        x, delay = m.xml.find(USER + "x"), m.xml.find("{urn:xmpp:delay}delay")
        self.note(self.said, {
            "room": m["from"].bare, "nick": m["from"].resource, "type": m["type"], "id": m["id"], "body": m.xml.findtext("{jabber:client}body"),
            "subject": m.xml.findtext("{jabber:client}subject"), "delayed": delay is not None, "error": m["error"]["condition"] if m["type"] == "error" else None,
            "codes": {int(s.get("code")) for s in x.findall(USER + "status")} if x is not None else set(),
            "invited": found(x, USER + "invite", "from"), "declined": found(x, USER + "decline", "from"), "occupant": found(m.xml, OCCUPANT + "occupant-id", "id"),
            "reason": x.findtext(".//" + USER + "reason") if x is not None else None, "archived": found(m.xml, "{urn:xmpp:sid:0}stanza-id", "id"),
            "direct": found(m.xml, "{jabber:x:conference}x", "jid"), "form": m.xml.find(DATA + "x"), "xml": m.xml,
        })

    async def first(self, where, want):
        """Waits for what has all that is wanted, and forgets it and what came before it."""
        def fits(what):
            return all(v(what[k]) if callable(v) else what[k] == v for k, v in want.items())

        async def there():
            async with self.news:
                await self.news.wait_for(lambda: any(map(fits, where)))
        try:
            await asyncio.wait_for(there(), 30)
        except asyncio.TimeoutError:
            sys.exit("%s did not get %r; there is\n%s" % (self.boundjid, want, "\n".join(map(repr, where))))
        n = next(i for i, what in enumerate(where) if fits(what))
        what = where[n]
        del where[:n + 1]
        return what

    async def sees(self, room, nick, **want):
        return await self.first(self.seen, dict(want, room=room, nick=nick))

    async def is_told(self, room, **want):
        return await self.first(self.said, dict(want, room=room))

    async def quiet(self, room, **unwanted):
        """Nothing of the kind has come: what the room had to say stands before its answer."""
        await self["xep_0030"].get_info(room, timeout=30)
        bad = [m for m in self.said if all(m[k] == v for k, v in unwanted.items())]
        assert not bad, (str(self.boundjid), bad)

    async def enters(self, room, nick, **more):
        """Joins, and returns the own presence, the others, the history and the subject."""
        self.seen.clear()
        self.said.clear()
        self.refusals.clear()
        joined = asyncio.ensure_future(self["xep_0045"].join_muc_wait(room, nick, timeout=30, **more))
        refused = asyncio.ensure_future(self.refused())
        await asyncio.wait((joined, refused), return_when=asyncio.FIRST_COMPLETED)
        if not joined.done():
            joined.cancel()
            await refused
        refused.cancel()
        _, subject, _, history = await joined
        n = next(i for i, p in enumerate(self.seen) if p["room"] == room and 110 in p["codes"])
        own, others = self.seen[n], {p["nick"]: p for p in self.seen[:n] if p["room"] == room}
        del self.seen[:n + 1]
        return own, others, [m["body"] for m in history], subject["subject"]

    async def refused(self):
        """Raises what is said against a presence. slixmpp alone does not see all of these: not one
        from an occupant that it knows, nor one without the element that was sent."""
        async with self.news:
            await self.news.wait_for(lambda: self.refusals)
        raise PresenceError(self.refusals.pop(0))

    async def leaves_room(self, room, nick):
        self["xep_0045"].leave_muc(room, nick)
        return await self.sees(room, nick, type="unavailable", codes=lambda c: 110 in c)

    def says(self, room, body, **more):
        m = self.make_message(room, body, mtype="groupchat")
        for name, value in more.items():
            m[name] = value
        m.send()

    async def opens(self, room, nick, **fields):
        """Makes a room and accepts its configuration, changed where fields say so."""
        own, _, _, _ = await self.enters(room, nick)
        assert own["affiliation"] == "owner" and own["role"] == "moderator" and {110, 201} <= own["codes"], own
        await self.configures(room, **fields)

    async def configures(self, room, **fields):
        """Sends a form with these fields, whose names are without muc#roomconfig_; without any
        the form is empty: what the service has is accepted (section 10.1.2)."""
        form = self["xep_0004"].make_form(ftype="submit")
        if fields:
            form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/muc#roomconfig")
        for name, value in fields.items():
            form.add_field(var="muc#roomconfig_" + name, value=value)
        await self["xep_0045"].set_room_config(room, form, timeout=30)

    async def asks(self, kind, to, name, *children, **attributes):
        """Sends a request that slixmpp has no words for."""
        iq = self.make_iq(itype=kind, ito=to)
        payload = ET.Element(name, attributes)
        payload.extend(children)
        iq.append(payload)
        return await iq.send(timeout=30)


async def refused(conditions, coroutine):
    """There must be this error, or one of these."""
    try:
        await coroutine
    except (IqError, PresenceError) as e:
        conditions = (conditions,) if isinstance(conditions, str) else conditions
        assert e.condition in conditions, (e.condition, e.text, conditions)
        return e
    sys.exit("there is no error, but should be %r" % (conditions,))

"""Clients made of nbxmpp, the library under Gajim, in rooms as Gajim uses them: they look before
they come in, make a room with Gajim's settings, catch up from the room's archive, take back what
was said, and know each other by their occupant ids.

Arguments: port, certificate file, name of the server.
"""
import os
import sys
from datetime import datetime, timedelta, timezone

from gi.repository import Gio, GLib

from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType, InviteType, PresenceType, StatusCode
from nbxmpp.errors import StanzaError
from nbxmpp.namespaces import Namespace
from nbxmpp.protocol import JID, Message, Presence
from nbxmpp.structs import StanzaHandler

port, cert, server = sys.argv[1:]
loop = GLib.MainContext.default()
SERVICE, RUN = "conference.localhost", "-%x" % os.getpid()
ROOM, OPEN = (JID.from_string(name + RUN + "@" + SERVICE) for name in ("team", "public"))
J, R, N = (JID.from_string(user + "@localhost") for user in ("juliet", "romeo", "nurse"))
OCCUPANT_IDS = server != "ejabberd"
RETRACT = "urn:xmpp:message-retract:1"
# What Gajim 1.7.3 asks of a new room that is not public, and of one that is.
PRIVATE = {
    "muc#roomconfig_allowinvites": True, "muc#roomconfig_publicroom": False, "muc#roomconfig_membersonly": True, "muc#roomconfig_persistentroom": True,
    "muc#roomconfig_whois": "anyone", "muc#roomconfig_moderatedroom": False, "muc#roomconfig_enablelogging": True, "mam": True,
    "{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites": True, "muc#roomconfig_enablearchiving": True, "muc#roomconfig_changesubject": True,
    "muc#roomconfig_roomname": "The team", "muc#roomconfig_roomdesc": "Star-crossed",
}
PUBLIC = dict(PRIVATE, **{"muc#roomconfig_publicroom": True, "muc#roomconfig_membersonly": False, "muc#roomconfig_whois": "moderators", "muc#roomconfig_changesubject": False})


def until(what, ok):
    late = []
    timer = GLib.timeout_add_seconds(30, lambda: late.append(True))
    while not ok():
        if late:
            sys.exit("not within 30 s: %s" % (what() if callable(what) else what))
        loop.iteration(True)
    GLib.source_remove(timer)


def answer(task):
    """Waits for the outcome of a request; an error is raised."""
    done = []

    def take(t):
        try:
            done.append(t.finish())
        except StanzaError as e:
            done.append(e)

    task.add_done_callback(take, weak=False)
    until("an answer", lambda: done)
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


def refused(condition, task):
    try:
        answer(task)
    except StanzaError as e:
        assert e.condition == condition, e
        return e
    sys.exit("there is no error, but should be " + condition)


class Person:
    def __init__(self, user):
        self.user, self.archive, self.states, self.seen, self.said = user, [], [], [], []
        self.client = c = Client(log_context=user)
        c.set_domain("localhost")
        c.set_username(user)
        c.set_resource("gajim")
        c.set_password("pw-" + user)
        c.set_custom_host("127.0.0.1:" + port, ConnectionProtocol.TCP, ConnectionType.START_TLS)
        c.set_accepted_certificates([Gio.TlsCertificate.new_from_file(cert)])
        for event in ("connected", "disconnected", "connection-failed"):
            c.subscribe(event, lambda _c, name, *_: self.states.append(name))
        c.register_handler(StanzaHandler(name="message", callback=self.message, priority=60))
        c.register_handler(StanzaHandler(name="presence", callback=self.presence, priority=60))

    def __getattr__(self, module):
        return self.client.get_module(module)

    def message(self, _client, stanza, properties):
        if properties.is_mam_message:
            self.archive.append((properties.mam.id, stanza, properties))
        else:
            self.said.append((stanza, properties))

    def presence(self, _client, stanza, properties):
        if properties.from_muc or stanza.getType() == "error":
            self.seen.append((stanza, properties))

    def comes(self):
        self.client.connect()
        until("login: %r" % self.states, lambda: "connected" in self.states)
        self.client.send_stanza(Presence())
        return self

    def leaves(self):
        self.client.disconnect()
        until("leaving", lambda: "disconnected" in self.states)

    def first(self, where, what, fits):
        """Waits for the first that fits, and forgets it and what came before."""
        found = []

        def look():
            found[:] = [n for n, (_, p) in enumerate(where) if fits(p)][:1]
            return found
        until(lambda: "%s, %s; there is\n%s" % (self.user, what, "\n".join(str(s) for s, _ in where)), look)
        stanza, properties = where[found[0]]
        del where[:found[0] + 1]
        return stanza, properties

    def sees(self, what, fits):
        return self.first(self.seen, what, fits)

    def hears(self, what, fits):
        return self.first(self.said, what, fits)

    def enters(self, room, nick, **history):
        """As Gajim does."""
        p = Presence(to=room.new_with(resource=nick))
        x = p.setTag(Namespace.MUC + " x")
        if history:
            x.setTag("history", history)
        self.seen.clear()
        self.client.send_stanza(p)
        stanza, own = self.sees("is in", lambda p: p.jid.new_as_bare() == room and (p.is_muc_self_presence or p.type == PresenceType.ERROR))
        return own

    def says(self, room, body, id=None):
        m = Message(to=room, typ="groupchat", body=body)
        m.setID(id or "id-" + body.replace(" ", "-"))
        self.client.send_stanza(m)

    def heard(self, room, nick, body):
        return self.hears("hears " + body, lambda p: p.from_muc and p.muc_jid == room and p.muc_nickname == nick and p.body == body)

    def asks(self, room, **query):
        self.archive.clear()
        return answer(self.MAM.make_query(room, queryid="q", **query))

    def catches_up(self, room, max_):
        """Everything since yesterday, page by page, as Gajim reads it when it comes in."""
        got, page, start = [], None, datetime.now(timezone.utc) - timedelta(days=1)
        while page is None or not page.complete:
            page = self.asks(room, start=start, max_=max_, after=page and page.rsm.last)
            got += self.archive
        return got


def made(juliet, room, config, features):
    """Gajim's way to a new room: in, the form, and what the room says that it is."""
    own = juliet.enters(room, "Juliet")
    assert {StatusCode.SELF, StatusCode.CREATED} <= own.muc_status_codes, own
    form = answer(juliet.MUC.request_config(room)).form
    have = set()
    for var, value in config.items():
        try:
            field = form[var]
        except KeyError:
            continue
        field.value = value
        have.add(var)
    if server == "parley":
        missing = {v for v in config if v.startswith("muc#") and not v.endswith("enablearchiving")} - have
        assert not missing, missing
    answer(juliet.MUC.set_config(room, form))
    info = answer(juliet.MUC.request_info(room, request_vcard=False)).info
    assert info.is_muc and info.muc_name == "The team" and info.supports(Namespace.MAM_2) and info.muc_is_persistent, info
    assert [f for f in features if not getattr(info, "muc_is_" + f)] == [], (features, info.features)
    assert info.muc_description == "Star-crossed", info.muc_description
    # The form says now what was accepted.
    form = answer(juliet.MUC.request_config(room)).form
    for var in have - {"muc#roomconfig_allowinvites"}:
        assert form[var].value == config[var], (var, form[var].value)


def team(juliet, romeo, nurse):
    """A room for members: invited, in, and on the list."""
    made(juliet, ROOM, PRIVATE, ["members_only", "hidden", "nonanonymous", "unmoderated", "unsecured"])
    own = nurse.enters(ROOM, "Nurse")
    assert own.type == PresenceType.ERROR, own
    answer(juliet.MUC.set_affiliation(ROOM, {R.bare: {"affiliation": "member", "nick": "Romeo"} if server != "ejabberd" else {"affiliation": "member"}}))
    juliet.MUC.invite(ROOM, R, None, "come", type_=InviteType.MEDIATED)
    _, m = romeo.hears("is invited", lambda p: p.muc_invite is not None and p.muc_invite.reason == "come")
    assert m.muc_invite.muc == ROOM and m.muc_invite.from_.bare == J.bare, m.muc_invite
    answer(juliet.MUC.set_affiliation(ROOM, {N.bare: {"affiliation": "member"}}))
    juliet.MUC.invite(ROOM, N, None, type_=InviteType.DIRECT)
    nurse.hears("is invited", lambda p: p.muc_invite is not None and p.muc_invite.muc == ROOM)
    for who, nick in ((romeo, "Romeo"), (nurse, "Nurse")):
        info = answer(who.MUC.request_info(ROOM, request_vcard=False)).info
        assert info.muc_is_members_only, info
        own = who.enters(ROOM, nick, maxchars="0")
        assert StatusCode.NON_ANONYMOUS in own.muc_status_codes and own.muc_user.affiliation.is_member, own
        _, p = juliet.sees("the other", lambda p: p.muc_jid == ROOM and p.muc_nickname == nick)
        assert p.muc_user.jid.bare_match(J.new_with(localpart=who.user)), p.muc_user
    lists = {a: {str(j) for j in answer(juliet.MUC.get_affiliation(ROOM, a)).users} for a in ("owner", "admin", "member", "outcast")}
    assert lists == {"owner": {str(J)}, "admin": set(), "member": {str(R), str(N)}, "outcast": set()}, lists
    # In a room in which all see who they are a member reads the list (XEP-0045 section 9.5), as
    # Gajim does when it comes in.
    assert set(map(str, answer(romeo.MUC.get_affiliation(ROOM, "member")).users)) == lists["member"]
    juliet.MUC.set_subject(ROOM, "Of the feud")
    _, m = romeo.hears("the subject", lambda p: p.muc_subject is not None and p.muc_subject.text == "Of the feud")
    assert m.muc_subject.author == "Juliet", m.muc_subject


def caught_up(juliet, romeo, nurse):
    """Who was away reads the archive of the room: pages, and on from the last one."""
    nurse.client.send_stanza(Presence(to=ROOM.new_with(resource="Nurse"), typ="unavailable"))
    nurse.sees("is out", lambda p: p.type == PresenceType.UNAVAILABLE and p.muc_nickname == "Nurse")
    ids, said = set(), []
    for n in range(23):
        who, nick = ((juliet, "Juliet"), (romeo, "Romeo"))[n % 2]
        body = "line %d" % n
        who.says(ROOM, body)
        st, _ = juliet.heard(ROOM, nick, body)
        stanza, m = romeo.heard(ROOM, nick, body)
        assert [s.by for s in m.stanza_ids] == [ROOM], m.stanza_ids
        said.append((m.stanza_ids[0].id, nick, body))
        assert m.id == "id-line-%d" % n, m.id
    if server == "parley":  # a member need not be there to read
        assert [p.body for _, _, p in nurse.catches_up(ROOM, 10) if p.body] == [b for _, _, b in said]
    own = nurse.enters(ROOM, "Nurse", maxchars="0")
    nurse.hears("the subject", lambda p: p.muc_subject is not None and p.muc_subject.text == "Of the feud")
    got = nurse.catches_up(ROOM, 10)
    assert [(i, p.muc_nickname, p.body) for i, _, p in got if p.body] == said, got
    page = nurse.asks(ROOM, max_=50, after=said[19][0])
    assert [p.body for _, _, p in nurse.archive if p.body] == ["line 20", "line 21", "line 22"] and page.complete, nurse.archive
    if server != "ejabberd":  # which begins at the beginning
        refused("item-not-found", nurse.MAM.make_query(ROOM, queryid="q", after="nothing"))
    if server == "parley":
        assert len({p.occupant_id for _, _, p in got if p.body}) == 2, got
        # Who is not a member may not read.
        answer(juliet.MUC.set_affiliation(ROOM, {N.bare: {"affiliation": "none"}}))
        nurse.sees("is removed", lambda p: p.type == PresenceType.UNAVAILABLE and StatusCode.REMOVED_AFFILIATION_CHANGE in (p.muc_status_codes or ()))
        refused("forbidden", nurse.MAM.make_query(ROOM, queryid="q"))


def crowd(juliet, romeo, nurse):
    """A public room: who is who without addresses, and what is taken back."""
    made(juliet, OPEN, PUBLIC, ["open", "public", "semianonymous"])
    ids = {}
    for who, nick in ((juliet, "Juliet"), (romeo, "Romeo"), (nurse, "Nurse")):
        own = who.enters(OPEN, nick, maxchars="0")
        assert own.muc_user.role.is_moderator == (who is juliet) and StatusCode.NON_ANONYMOUS not in own.muc_status_codes, own
        ids[nick] = own.occupant_id
    if OCCUPANT_IDS:
        assert len(set(ids.values())) == 3 and None not in ids.values(), ids
    # Another name, the same id, which nobody else can put on.
    romeo.client.send_stanza(Presence(to=OPEN.new_with(resource="Montague")))
    _, p = nurse.sees("his new name", lambda p: p.is_nickname_changed and p.muc_nickname == "Romeo")
    assert p.muc_user.nick == "Montague", p.muc_user
    m = Message(to=OPEN, typ="groupchat", body="I am Juliet")
    m.addChild("occupant-id", namespace=Namespace.OCCUPANT_ID, attrs={"id": ids["Juliet"] or "x"})
    m.addChild("stanza-id", namespace=Namespace.SID, attrs={"id": "forged", "by": str(OPEN)})
    romeo.client.send_stanza(m)
    stanza, m = nurse.heard(OPEN, "Montague", "I am Juliet")
    if OCCUPANT_IDS:
        assert [t.getAttr("id") for t in stanza.getTags("occupant-id")] == [ids["Romeo"]] and m.occupant_id == ids["Romeo"], stanza
    assert [s.id for s in m.stanza_ids if s.by == OPEN] and "forged" not in {s.id for s in m.stanza_ids}, stanza
    # A private message (section 7.5).
    m = Message(to=OPEN.new_with(resource="Montague"), typ="chat", body="psst")
    m.addChild("x", namespace=Namespace.MUC_USER)
    nurse.client.send_stanza(m)
    _, m = romeo.hears("privately", lambda p: p.is_muc_pm and p.body == "psst")
    assert m.jid == OPEN.new_with(resource="Nurse"), m.jid
    if server == "parley":
        moderated(juliet, romeo, nurse, ids)
    # Kicked and banned.
    answer(juliet.MUC.set_role(OPEN, "Montague", "none", "enough"))
    _, p = romeo.sees("is kicked", lambda p: p.is_kicked and p.is_muc_self_presence)
    assert StatusCode.REMOVED_KICKED in p.muc_status_codes and p.muc_user.reason == "enough" and p.muc_user.actor == "Juliet", p.muc_user
    answer(juliet.MUC.set_affiliation(OPEN, {N.bare: {"affiliation": "outcast", "reason": "gossip"}}))
    _, p = nurse.sees("is banned", lambda p: p.is_kicked and p.is_muc_self_presence)
    assert StatusCode.REMOVED_BANNED in p.muc_status_codes and p.muc_user.reason == "gossip", p.muc_user
    users = answer(juliet.MUC.get_affiliation(OPEN, "outcast")).users
    assert list(map(str, users)) == [str(N)] and (server == "prosody" or users[N]["reason"] == "gossip"), users
    refused("forbidden", romeo.MUC.get_affiliation(OPEN, "outcast"))


def moderated(juliet, romeo, nurse, ids):
    """Taken back by the moderator in the form that Gajim 1.7.3 speaks, and by who said it."""
    said = []
    for body in ("slander", "gossip", "good news"):
        nurse.says(OPEN, body)
        _, m = romeo.heard(OPEN, "Nurse", body)
        said.append(m.stanza_ids[0].id)
    refused("forbidden", romeo.Moderation.send_retract_request(OPEN, said[0], "no"))
    refused("item-not-found", juliet.Moderation.send_retract_request(OPEN, "nothing", "no"))
    answer(juliet.Moderation.send_retract_request(OPEN, said[0], "not true"))
    for who in (juliet, romeo, nurse):
        _, m = who.hears("it is moderated", lambda p: p.moderation is not None)
        assert (m.moderation.stanza_id, m.moderation.moderator_jid, m.moderation.reason) == (said[0], str(OPEN) + "/Juliet", "not true"), m.moderation
    m = Message(to=OPEN, typ="groupchat")
    m.addChild("retract", namespace=RETRACT, attrs={"id": said[1]})
    nurse.client.send_stanza(m)
    until("the retraction", lambda: any(s.getTag("retract", namespace=RETRACT, attrs={"id": said[1]}) for s, p in romeo.said))
    got = {i: s for i, s, _ in romeo.catches_up(OPEN, 50)}
    assert got[said[2]].getBody() == "good news", got
    for n in (0, 1):
        tomb = got[said[n]]
        assert tomb.getBody() is None and tomb.getTag("retracted", namespace=RETRACT), tomb
        assert tomb.getTagAttr("occupant-id", "id", namespace=Namespace.OCCUPANT_ID) == ids["Nurse"], tomb


juliet, romeo, nurse = Person("juliet").comes(), Person("romeo").comes(), Person("nurse").comes()
team(juliet, romeo, nurse)
caught_up(juliet, romeo, nurse)
crowd(juliet, romeo, nurse)
for room in (ROOM, OPEN):
    answer(juliet.MUC.destroy(room, "done", None))
_, p = romeo.sees("the end", lambda p: p.is_muc_destroyed and p.muc_jid == ROOM)
assert p.muc_destroyed.reason in ("done", None), p.muc_destroyed
try:
    answer(romeo.MUC.request_info(OPEN, request_vcard=False))
    sys.exit("the room is still there")
except StanzaError as e:
    assert e.condition in ("item-not-found", "gone"), e
for who in (juliet, romeo, nurse):
    who.leaves()
print("ok", flush=True)

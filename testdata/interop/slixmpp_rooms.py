"""slixmpp clients in rooms (XEP-0045): they find them, make them at once and with a form, come
in, talk, write privately, change names and subjects, read what was said, invite, and leave.

Arguments: port, certificate file, name of the server.
"""
import asyncio
import os
import sys
from datetime import datetime, timezone

from slixmpp import JID

from slixmpp_occupant import Occupant, refused

*where, server = sys.argv[1:]
SERVICE, RUN = "conference.localhost", "-%x" % os.getpid()
J, R, N = "juliet@localhost", "romeo@localhost", "nurse@localhost"
# What the others do not do as their texts say.
LOCKS = server != "ejabberd"  # section 10.1.1
CANCELS = server == "parley"  # section 10.1.3: who does not want a new room is rid of it
OCCUPANT_IDS = server != "ejabberd"  # XEP-0421


async def at_once(juliet, romeo, nurse):
    """A room that is made as the service likes it (section 10.1.2), and shut until then."""
    room = "instant" + RUN + "@" + SERVICE
    await juliet.enters(room, "Juliet")
    if LOCKS:
        await refused("item-not-found", romeo.enters(room, "Romeo"))
    await juliet.configures(room)
    own, others, history, subject = await romeo.enters(room, "Romeo")
    assert (own["affiliation"], own["role"]) == ("none", "participant") and 110 in own["codes"] and 201 not in own["codes"], own
    assert list(others) == ["Juliet"] and others["Juliet"]["affiliation"] == "owner" and history == [] and subject == "", (others, history, subject)
    assert others["Juliet"]["jid"] is None, others  # who is no moderator is not told
    seen = await juliet.sees(room, "Romeo", type="available", role="participant")
    assert seen["jid"] == str(romeo.boundjid), seen
    # In use (section 7.2.8), and in other letters as well.
    for who, nick in ((nurse, "Romeo"), (romeo, "Juliet")):
        await refused("conflict", nurse.enters(room, nick))
    _, others, _, _ = await nurse.enters(room, "Nurse")
    assert (list if server == "parley" else sorted)(others) == ["Juliet", "Romeo"], others  # in the order in which they came
    return room


async def talk(juliet, romeo, nurse, room):
    romeo.says(room, "Did my heart love till now?", id="said-1")
    ids = set()
    for who in (juliet, romeo, nurse):
        m = await who.is_told(room, nick="Romeo", type="groupchat", body="Did my heart love till now?")
        assert m["id"] == "said-1" and not m["delayed"], m
        ids.add((m["archived"], m["occupant"]))
    assert len(ids) == 1 and (not OCCUPANT_IDS or None not in ids.pop()), ids
    # Privately (section 7.5).
    romeo.send_message(room + "/Juliet", "thou wilt quarrel", mtype="chat")
    m = await juliet.is_told(room, nick="Romeo", type="chat", body="thou wilt quarrel")
    assert m["xml"].find("{http://jabber.org/protocol/muc#user}x") is not None, m
    juliet.send_message(room + "/Romeo", "not I", mtype="chat")
    await romeo.is_told(room, nick="Juliet", type="chat", body="not I")
    await nurse.quiet(room, type="chat")
    romeo.send_message(room + "/Tybalt", "art thou there?", mtype="chat")
    await romeo.is_told(room, nick="Tybalt", type="error", error=lambda c: c in ("item-not-found", "recipient-unavailable"))
    romeo.send_message(room, "to all?", mtype="chat")
    await romeo.is_told(room, type="error")
    # What is not an occupant's (section 7.4).
    await nurse.leaves_room(room, "Nurse")
    nurse.says(room, "I am outside")
    await nurse.is_told(room, type="error", error="not-acceptable")
    await romeo.quiet(room, body="I am outside")


async def renamed(juliet, romeo, room):
    """Another name (section 7.6), and another state (7.7)."""
    for who in (juliet, romeo):
        await who["xep_0199"].send_ping(room + "/" + ("Juliet" if who is juliet else "Romeo"), timeout=30)
        who.seen.clear()
    romeo.send_presence(pto=room + "/Montague")
    for who in (juliet, romeo):
        gone = await who.sees(room, "Romeo", type="unavailable", codes=lambda c: 303 in c)
        assert gone["new"] == "Montague" and (110 in gone["codes"]) == (who is romeo), gone
        come = await who.sees(room, "Montague", type="available")
        assert (110 in come["codes"]) == (who is romeo) and gone["id"] in (None, come["id"]), (gone, come)
    romeo.send_presence(pto=room + "/Montague", pshow="away", pstatus="in the orchard")
    await juliet.sees(room, "Montague", type="away", status="in the orchard")
    romeo.send_presence(pto=room + "/Juliet")
    await refused("conflict", asyncio.wait_for(romeo.refused(), 30))


async def subjects(juliet, romeo, nurse, room):
    """Who may say what it is about, and who comes later is told (section 8.1)."""
    juliet["xep_0045"].set_subject(room, "A feast")
    for who in (juliet, romeo):
        await who.is_told(room, nick="Juliet", type="groupchat", subject="A feast", body=None)
    await juliet.configures(room, changesubject="0")
    romeo["xep_0045"].set_subject(room, "A fray")
    await romeo.is_told(room, type="error", error="forbidden")
    await juliet.configures(room, changesubject="1")
    romeo["xep_0045"].set_subject(room, "A <fray> & more")
    await juliet.is_told(room, nick="Montague", subject="A <fray> & more")
    _, _, _, subject = await nurse.enters(room, "Nurse")
    assert subject == "A <fray> & more", subject


async def history(juliet, nurse, room):
    """What was said before (section 7.2.13, 7.2.14), and from the archive (XEP-0313)."""
    await nurse.leaves_room(room, "Nurse")
    for n in range(8):
        juliet.says(room, "line %d" % n)
        await juliet.is_told(room, body="line %d" % n)
    half = await middle(juliet)
    for n in range(8, 12):
        juliet.says(room, "line %d" % n)
        await juliet.is_told(room, body="line %d" % n)
    said = ["Did my heart love till now?"] + ["line %d" % n for n in range(12)]
    for more, want in (({}, said), ({"maxstanzas": 3}, said[-3:]), ({"maxstanzas": 0}, []), ({"maxchars": 0}, []), ({"since": half}, said[9:]), ({"seconds": 3600}, said)):
        _, _, got, _ = await nurse.enters(room, "Nurse", **more)
        assert got == want, (more, got)
        await nurse.leaves_room(room, "Nurse")
    # slixmpp's iterator, as an occupant and page by page.
    await nurse.enters(room, "Nurse", maxstanzas=0)
    got = [m async for m in nurse["xep_0313"].iterate(jid=JID(room), rsm={"max": 5})]
    archived = [m["mam_result"]["forwarded"]["stanza"] for m in got]
    assert [m["body"] for m in archived if m["body"]] == said, [m["body"] for m in archived]
    assert {str(m["from"]) for m in archived if m["body"].startswith("line")} == {room + "/Juliet"}, archived
    assert not any(m.xml.find(".//{http://jabber.org/protocol/muc#user}item[@jid]") is not None for m in archived), archived
    iq = await nurse["xep_0313"].retrieve(jid=JID(room), start=half, timeout=30, rsm={"max": 50})
    assert [b for b in (m["mam_result"]["forwarded"]["stanza"]["body"] for m in iq["mam"]["results"]) if b] == said[9:], iq
    await nurse.leaves_room(room, "Nurse")


async def middle(juliet):
    """A moment with a whole second on both sides: some think in these."""
    await asyncio.sleep(1.1)
    moment = datetime.now(timezone.utc).replace(microsecond=0)
    await asyncio.sleep(1.1)
    return moment


async def found(juliet, romeo, nurse, room):
    """Rooms are found, and say what they are (section 6)."""
    if server != "parley":  # a new room is there hidden, or moderated
        await juliet.configures(room, publicroom="1", moderatedroom="0")
    disco = romeo["xep_0030"]
    services = [i[0] for i in (await disco.get_items("localhost", timeout=30))["disco_items"]["items"]]
    assert SERVICE in services, services
    info = (await disco.get_info(SERVICE, timeout=30))["disco_info"]
    assert ("conference", "text") in {i[:2] for i in info["identities"]} and "http://jabber.org/protocol/muc" in info["features"], info
    rooms = [i[0] for i in (await disco.get_items(SERVICE, timeout=30))["disco_items"]["items"]]
    assert room in rooms, rooms
    info = (await disco.get_info(room, timeout=30))["disco_info"]
    have = set(info["features"])
    want = {"http://jabber.org/protocol/muc", "muc_public", "muc_open", "muc_unmoderated", "muc_semianonymous", "muc_unsecured", "urn:xmpp:mam:2"}
    assert want <= have and ("muc_persistent" in have) != ("muc_temporary" in have), have
    if server == "parley":
        assert {"urn:xmpp:occupant-id:0", "urn:xmpp:message-moderate:0", "urn:xmpp:message-moderate:1", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0",
                "http://jabber.org/protocol/muc#self-ping-optimization", "http://jabber.org/protocol/muc#stable_id"} <= have, have
    if OCCUPANT_IDS:
        assert "urn:xmpp:occupant-id:0" in have, have
    form = info.xml.find("{jabber:x:data}x")
    fields = {f.get("var"): f.findtext("{jabber:x:data}value") for f in form}
    assert fields["FORM_TYPE"] == "http://jabber.org/protocol/muc#roominfo" and fields["muc#roominfo_occupants"] == "2", fields
    # The reserved nick that nobody has (section 7.12), and who asks whether it is in (XEP-0410).
    await romeo["xep_0199"].send_ping(room + "/Montague", timeout=30)
    await refused("not-acceptable", nurse["xep_0199"].send_ping(room + "/Nurse", timeout=30))


async def invited(juliet, romeo, nurse):
    """A room for members, made with a form (section 10.1.3), and the ways into it (7.8, XEP-0249)."""
    room = "members" + RUN + "@" + SERVICE
    own, _, _, _ = await juliet.enters(room, "Juliet")
    form = await juliet["xep_0045"].get_room_config(room, timeout=30)
    values = form.get_values()
    assert values["FORM_TYPE"] == ["http://jabber.org/protocol/muc#roomconfig"], values
    settings = {"roomname": "The orchard", "roomdesc": "Behind the wall", "membersonly": True, "publicroom": False, "persistentroom": True, "whois": "anyone"}
    for name, value in settings.items():
        assert "muc#roomconfig_" + name in values, (name, values)
        values["muc#roomconfig_" + name] = value
    form = juliet["xep_0004"].make_form(ftype="submit")
    for name, value in values.items():
        if not name or value is None:  # "fixed", or without a value
            continue
        form.add_field(var=name, value=("1" if value else "0") if isinstance(value, bool) else value)
    await juliet["xep_0045"].set_room_config(room, form, timeout=30)
    info = (await juliet["xep_0030"].get_info(room, timeout=30))["disco_info"]
    assert {"muc_membersonly", "muc_hidden", "muc_persistent", "muc_nonanonymous"} <= set(info["features"]), info
    assert ("conference", "text", None, "The orchard") in info["identities"], info["identities"]
    rooms = [i[0] for i in (await romeo["xep_0030"].get_items(SERVICE, timeout=30))["disco_items"]["items"]]
    assert room not in rooms, rooms
    await refused("registration-required", romeo.enters(room, "Romeo"))
    # By the room: who is invited by an owner becomes a member.
    juliet["xep_0045"].invite(room, R, "at what o'clock?")
    m = await romeo.is_told(room, invited=lambda f: f and f.startswith(J))
    assert m["reason"] == "at what o'clock?", m
    own, others, _, _ = await romeo.enters(room, "Romeo")
    assert own["affiliation"] == "member" and 100 in own["codes"] and others["Juliet"]["jid"] == str(juliet.boundjid), (own, others)
    # Declined.
    juliet["xep_0045"].invite(room, N)
    await nurse.is_told(room, invited=lambda f: f and f.startswith(J))
    nurse["xep_0045"].decline(room, JID(J), "too old")
    m = await juliet.is_told(room, declined=lambda f: f and f.startswith(N))
    assert m["reason"] == "too old", m
    # Directly, which the room does not see.
    juliet["xep_0249"].send_invitation(JID(str(romeo.boundjid)), room, reason="once more")
    await romeo.is_told(J, direct=room)
    return room


async def destroyed(juliet, romeo, room):
    """The room goes, and says where to (section 10.9)."""
    await refused("forbidden", romeo["xep_0045"].destroy(room, timeout=30))
    await juliet["xep_0045"].destroy(room, "the watch", JID("cell@" + SERVICE), timeout=30)
    for who, nick in ((juliet, "Juliet"), (romeo, "Romeo")):
        gone = await who.sees(room, nick, type="unavailable", to="cell@" + SERVICE)
        assert gone["why"] == "the watch" and (gone["affiliation"] == "none" or server == "prosody") and gone["role"] == "none", gone
    # A new one, whose maker does not want it (section 10.1.3).
    room = "not-wanted" + RUN + "@" + SERVICE
    own, others, history, subject = await romeo.enters(room, "Romeo")
    assert own["affiliation"] == "owner" and 201 in own["codes"] and others == {} and subject == "", own
    await romeo["xep_0045"].cancel_config(room, timeout=30)
    if CANCELS:
        await romeo.sees(room, "Romeo", type="unavailable")
        await refused("item-not-found", romeo["xep_0045"].get_room_config(room, timeout=30))


async def main():
    juliet, romeo, nurse = [await Occupant(name, *where).comes() for name in ("juliet", "romeo", "nurse")]
    room = await at_once(juliet, romeo, nurse)
    await talk(juliet, romeo, nurse, room)
    await renamed(juliet, romeo, room)
    await subjects(juliet, romeo, nurse, room)
    await history(juliet, nurse, room)
    await found(juliet, romeo, nurse, room)
    await destroyed(juliet, romeo, await invited(juliet, romeo, nurse))
    # Who goes offline goes from its rooms.
    await romeo.leaves()
    await juliet.sees(room, "Montague", type="unavailable", role="none")
    await juliet["xep_0045"].destroy(room, timeout=30)
    for who in (juliet, nurse):
        await who.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 200))

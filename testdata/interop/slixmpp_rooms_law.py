"""slixmpp clients in rooms (XEP-0045): who may do what. Roles and affiliations are given and
taken, people kicked, banned and let in again, moderators asked for voice, passwords wanted, and
what was said is taken back (XEP-0424, XEP-0425).

Arguments: port, certificate file, name of the server.
"""
import asyncio
import os
import sys

from slixmpp import JID
from slixmpp.xmlstream import ET

from slixmpp_occupant import ADMIN, DATA, Occupant, refused

*where, server = sys.argv[1:]
SERVICE, RUN = "conference.localhost", "-%x" % os.getpid()
J, R, N = "juliet@localhost", "romeo@localhost", "nurse@localhost"
REQUEST = "http://jabber.org/protocol/muc#request"
MODERATE, RETRACT, FASTEN, RETRACT_0, MODERATE_0 = (
    "urn:xmpp:message-moderate:1", "urn:xmpp:message-retract:1", "urn:xmpp:fasten:0", "urn:xmpp:message-retract:0", "urn:xmpp:message-moderate:0")

# What the others say to who may not do a thing: not always what the text says.
DENIED = ("forbidden", "not-allowed", "conflict", "not-acceptable", "bad-request")


async def denied(condition, coroutine):
    """A request of somebody who may not make it is refused, with this error."""
    await refused(condition if server == "parley" else DENIED, coroutine)


async def governed(juliet, romeo, nurse):
    """Roles (sections 8 and 9): given, taken and listed by who may."""
    room = "law" + RUN + "@" + SERVICE
    await juliet.opens(room, "Juliet", moderatedroom="1", whois="moderators")
    await juliet["xep_0045"].set_affiliation(room, "member", jid=R, timeout=30)
    own, _, _, _ = await romeo.enters(room, "Romeo")
    assert (own["affiliation"], own["role"]) == ("member", "participant"), own
    own, _, _, _ = await nurse.enters(room, "Nurse")
    assert own["affiliation"] == "none" and own["role"] in (("visitor",) if server != "ejabberd" else ("participant",)), own
    law, his = juliet["xep_0045"], romeo["xep_0045"]
    if own["role"] == "participant":
        await law.set_role(room, "Nurse", "visitor", timeout=30)
    # A visitor has no voice (section 7.4), asks for it (7.13), and gets it (8.6).
    nurse.says(room, "may I?")
    await nurse.is_told(room, type="error", error="forbidden")
    nurse["xep_0045"].request_voice(room, "participant")
    asked = await juliet.is_told(room, form=lambda f: f is not None)
    fields = {f.get("var"): f for f in asked["form"]}
    value = {var: f.findtext(DATA + "value") for var, f in fields.items()}
    assert value["FORM_TYPE"] == REQUEST and value["muc#role"] == "participant" and value["muc#roomnick"] == "Nurse" and value["muc#jid"].startswith(N), value
    m = juliet.make_message(room)
    form = m["form"]
    form["type"] = "submit"
    for var in value:
        if var:
            form.add_field(var=var, value="1" if var == "muc#request_allow" else value[var])
    m.send()
    for who in (juliet, romeo, nurse):
        await who.sees(room, "Nurse", role="participant", affiliation="none")
    nurse.says(room, "now I may")
    await romeo.is_told(room, nick="Nurse", body="now I may")
    # By a moderator (sections 8.4, 9.6) and by nobody else.
    await law.set_role(room, "Nurse", "visitor", reason="hush", timeout=30)
    seen = await romeo.sees(room, "Nurse", role="visitor")
    assert seen["reason"] == "hush" or server == "ejabberd", seen
    await denied("forbidden", his.set_role(room, "Nurse", "participant", timeout=30))
    await denied("forbidden", his.set_role(room, "Juliet", "none", timeout=30))
    await law.set_role(room, "Romeo", "moderator", timeout=30)
    await romeo.sees(room, "Romeo", role="moderator", affiliation="member")
    assert sorted(await law.get_roles_list(room, "moderator", timeout=30)) == ["Juliet", "Romeo"]
    await his.set_role(room, "Nurse", "participant", timeout=30)
    await nurse.sees(room, "Nurse", role="participant")
    await denied("not-allowed", his.set_role(room, "Juliet", "visitor", timeout=30))
    await denied("forbidden", his.set_role(room, "Nurse", "moderator", timeout=30))  # section 9.6: an admin's right
    items = [ET.Element(ADMIN + "item", nick=nick, role=role) for nick, role in (("Romeo", "participant"), ("Nurse", "visitor"))]
    await juliet.asks("set", room, ADMIN + "query", *items)  # slixmpp says "affiliation" for "role" in its lists
    await romeo.sees(room, "Romeo", role="participant")
    if server == "prosody":  # which takes the first of several roles
        await law.set_role(room, "Nurse", "visitor", timeout=30)
    await nurse.sees(room, "Nurse", role="visitor")
    await juliet.configures(room, moderatedroom="0")
    return room


async def kicked(juliet, romeo, nurse, room):
    """Section 8.2."""
    await juliet["xep_0045"].set_role(room, "Nurse", "none", reason="the watch comes", timeout=30)
    for who in (juliet, romeo, nurse):
        gone = await who.sees(room, "Nurse", type="unavailable")
        assert {307} <= gone["codes"] and (110 in gone["codes"]) == (who is nurse), gone
        assert gone["role"] == "none" and gone["reason"] == "the watch comes" and gone["actor"] == "Juliet", gone
    own, _, _, _ = await nurse.enters(room, "Nurse")
    assert own["affiliation"] == "none", own


async def banned(juliet, romeo, nurse, room):
    """Section 9.1, by address."""
    law = juliet["xep_0045"]
    await law.set_affiliation(room, "outcast", jid=N, reason="a plague", timeout=30)
    for who in (juliet, romeo, nurse):
        gone = await who.sees(room, "Nurse", type="unavailable", affiliation="outcast")
        assert {301} <= gone["codes"] and gone["role"] == "none" and gone["reason"] == "a plague", gone
    await refused("forbidden", nurse.enters(room, "Nurse"))
    items = (await asked(juliet, room, affiliation="outcast"))
    assert [(i.get("jid"), i.get("affiliation"), i.findtext(ADMIN + "reason")) for i in items] == [(N, "outcast", None if server == "prosody" else "a plague")], items
    await denied("forbidden", romeo["xep_0045"].get_affiliation_list(room, "outcast", timeout=30))
    await law.set_affiliation(room, "none", jid=N, timeout=30)
    assert await law.get_affiliation_list(room, "outcast", timeout=30) == []
    await nurse.enters(room, "Nurse")
    # Oneself, and one who is higher (section 9.1).
    await denied("conflict", law.set_affiliation(room, "outcast", jid=J, timeout=30))
    await denied("forbidden", romeo["xep_0045"].set_affiliation(room, "outcast", jid=J, timeout=30))


async def asked(who, room, **item):
    """The items of a list, with what slixmpp leaves out."""
    iq = await who.asks("get", room, ADMIN + "query", ET.Element(ADMIN + "item", item))
    return iq.xml.findall(ADMIN + "query/" + ADMIN + "item")


async def promoted(juliet, romeo, nurse, room):
    """Affiliations (sections 9.3 to 10.8), by address, which last."""
    law, his = juliet["xep_0045"], romeo["xep_0045"]
    await law.set_affiliation(room, "admin", jid=R, timeout=30)
    await nurse.sees(room, "Romeo", affiliation="admin", role="moderator")
    await denied("forbidden", his.set_affiliation(room, "admin", jid=N, timeout=30))
    await refused(("forbidden", "not-allowed"), his.set_affiliation(room, "none", jid=J, timeout=30))
    await his.set_affiliation(room, "member", jid=N, timeout=30)
    await nurse.sees(room, "Nurse", affiliation="member", role="participant")
    deltas = [("tybalt@localhost", "outcast"), ("paris@localhost", "member")]
    for some in [[d] for d in deltas] if server == "prosody" else [deltas]:
        await his.send_affiliation_list(room, some, timeout=30)
    lists = {a: sorted(map(str, await law.get_affiliation_list(room, a, timeout=30))) for a in ("owner", "admin", "member", "outcast")}
    assert lists == {"owner": [J], "admin": [R], "member": [N, "paris@localhost"], "outcast": ["tybalt@localhost"]}, lists
    await denied("forbidden", nurse["xep_0045"].get_affiliation_list(room, "owner", timeout=30))
    await denied("forbidden", nurse["xep_0045"].get_room_config(room, timeout=30))
    await denied("forbidden", his.get_room_config(room, timeout=30))
    # The last owner stays (section 10.5.2), and may go when there is another.
    await denied("conflict", law.set_affiliation(room, "member", jid=J, timeout=30))
    await law.set_affiliation(room, "owner", jid=R, timeout=30)
    await juliet.sees(room, "Romeo", affiliation="owner", role="moderator")
    await law.set_affiliation(room, "member", jid=J, timeout=30)
    await romeo.sees(room, "Juliet", affiliation="member", role="participant")
    await his.set_affiliation(room, "owner", jid=J, timeout=30)
    await juliet.sees(room, "Juliet", affiliation="owner", role="moderator")
    # A room that is for members from now on is rid of the others (section 9.4).
    await law.set_affiliation(room, "none", jid=N, timeout=30)
    await nurse.sees(room, "Nurse", affiliation="none", role="participant")
    await juliet.configures(room, membersonly="1")
    gone = await nurse.sees(room, "Nurse", type="unavailable")
    assert {322} <= gone["codes"], gone
    await romeo.is_told(room, type="groupchat", codes=lambda c: 104 in c)
    await refused("registration-required", nurse.enters(room, "Nurse"))
    await juliet.configures(room, membersonly="0")


async def locked(juliet, nurse, room):
    """Who knows the password comes in (section 7.2.6)."""
    fields = {"roomsecret": "open sesame"}
    if server != "prosody":  # which has no such field: there is a password or there is none
        fields["passwordprotectedroom"] = "1"
    await juliet.configures(room, **fields)
    assert "muc_passwordprotected" in (await nurse["xep_0030"].get_info(room, timeout=30))["disco_info"]["features"]
    await refused("not-authorized", nurse.enters(room, "Nurse"))
    await refused("not-authorized", nurse.enters(room, "Nurse", password="open barley"))
    own, _, _, _ = await nurse.enters(room, "Nurse", password="open sesame")
    assert own["role"] == "participant", own
    await nurse.leaves_room(room, "Nurse")
    await juliet.configures(room, **{name: "" if name == "roomsecret" else "0" for name in fields})
    await nurse.enters(room, "Nurse")


async def whole(juliet, romeo, nurse, room):
    """A room whose people all see who they are says so (section 7.2.3, 10.2.1)."""
    await juliet.configures(room, whois="anyone")
    await nurse.is_told(room, type="groupchat", codes=lambda c: 172 in c)
    await nurse.leaves_room(room, "Nurse")
    own, others, _, _ = await nurse.enters(room, "Nurse")
    assert 100 in own["codes"] and others["Romeo"]["jid"] == str(romeo.boundjid), (own, others)
    await juliet.configures(room, whois="moderators")
    await nurse.is_told(room, type="groupchat", codes=lambda c: 173 in c)


async def taken_back(juliet, romeo, nurse, room):
    """By a moderator, in both forms (XEP-0425), and by who has said it (XEP-0424)."""
    said = {}
    for n in range(4):
        nurse.says(room, "secret %d" % n, id="secret-%d" % n)
        m = await juliet.is_told(room, nick="Nurse", body="secret %d" % n)
        await romeo.is_told(room, body="secret %d" % n)
        said[n] = m["archived"]
    await juliet["xep_0045"].set_affiliation(room, "none", jid=R, timeout=30)
    await refused("forbidden", moderates(romeo, room, said[0]))
    await refused("item-not-found", moderates(juliet, room, "there-is-none"))
    # Each of them is told in both forms.
    await moderates(juliet, room, said[0], "indiscreet")
    for who in (juliet, romeo, nurse):
        await is_moderated(who, room, said[0], "indiscreet")
    await juliet["xep_0425"].moderate(JID(room), said[1], "loose", timeout=30)
    for who in (juliet, romeo, nurse):
        await is_moderated(who, room, said[1], "loose")
    m = nurse.make_message(room, mtype="groupchat")
    m.append(ET.Element("{%s}retract" % RETRACT, id=said[2]))
    m.send()
    m = await romeo.is_told(room, nick="Nurse", xml=lambda x: x.find("{%s}retract" % RETRACT) is not None)
    # Who comes later reads none of it, in the history or in the archive.
    await nurse.leaves_room(room, "Nurse")
    _, _, history, _ = await nurse.enters(room, "Nurse")
    assert not {"secret 0", "secret 1", "secret 2"} & set(history) and "secret 3" in history, history
    got = [m["mam_result"] async for m in nurse["xep_0313"].iterate(jid=JID(room), rsm={"max": 50})]
    bodies = [m["forwarded"]["stanza"]["body"] for m in got]
    assert not {"secret 0", "secret 1", "secret 2"} & set(bodies) and "secret 3" in bodies, bodies
    tombs = {m["id"]: m["forwarded"]["stanza"].xml.find("{%s}retracted" % RETRACT) for m in got}
    for n in range(3):
        tomb = tombs[said[n]]
        assert tomb is not None and (n == 2 or tomb.find("{%s}moderated" % MODERATE) is not None), (n, tomb)


async def moderates(who, room, id, reason=None):
    """In the form of today, which slixmpp 1.8.3 does not know."""
    children = [ET.Element("{%s}retract" % RETRACT)]
    if reason:
        children.append(ET.Element("{%s}reason" % MODERATE))
        children[-1].text = reason
    return await who.asks("set", room, "{%s}moderate" % MODERATE, *children, id=id)


async def is_moderated(who, room, id, reason):
    def new(xml):
        r = xml.find("{%s}retract" % RETRACT)
        return r is not None and r.get("id") == id and r.find("{%s}moderated" % MODERATE).get("by") == room + "/Juliet" \
            and r.findtext("{%s}reason" % RETRACT) == reason

    def old(xml):
        a = xml.find("{%s}apply-to" % FASTEN)
        m = None if a is None else a.find("{%s}moderated" % MODERATE_0)
        return m is not None and a.get("id") == id and m.get("by") == room + "/Juliet" and m.find("{%s}retract" % RETRACT_0) is not None \
            and m.findtext("{%s}reason" % MODERATE_0) == reason
    await who.is_told(room, nick="", type="groupchat", xml=lambda xml: new(xml) and old(xml))  # one message says it in both


async def main():
    juliet, romeo, nurse = [await Occupant(name, *where).comes() for name in ("juliet", "romeo", "nurse")]
    room = await governed(juliet, romeo, nurse)
    await kicked(juliet, romeo, nurse, room)
    await banned(juliet, romeo, nurse, room)
    await promoted(juliet, romeo, nurse, room)
    await locked(juliet, nurse, room)
    await whole(juliet, romeo, nurse, room)
    if server == "parley":  # neither of the others has it
        await taken_back(juliet, romeo, nurse, room)
    await juliet["xep_0045"].destroy(room, timeout=30)
    for who in (juliet, romeo, nurse):
        await who.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 200))

"""slixmpp clients read an archive (XEP-0313): in pages both ways, of one peer, of a time, by
ids; they say what is archived (XEP-0441); and what waited is not shown twice.

Arguments: port, certificate file.
"""
import asyncio
import sys
from datetime import datetime, timezone

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Collector
from slixmpp.xmlstream.matcher import MatchXMLMask

from slixmpp_person import Person, taken

where = sys.argv[1:]
R, J, N = "romeo@localhost", "juliet@localhost", "nurse@localhost"
PLUGINS = ("xep_0059", "xep_0184", "xep_0297", "xep_0313", "xep_0359", "xep_0424", "xep_0441")
WITH_NURSE = 7  # each that many messages is one of the nurse's


async def person(user, resource, **more):
    return await Person(user, resource, *where, plugins=PLUGINS).comes(**more)


def bodies(results):
    return [r["mam_result"]["forwarded"]["stanza"]["body"] for r in results]


def complete(fin):
    return fin.xml.get("complete") == "true"


async def asks(who, **query):
    """One page: what is in it, and what is said of it."""
    iq = await who["xep_0313"].retrieve(timeout=30, **query)
    return iq["mam"]["results"], iq["mam_fin"]


async def fails(condition, coroutine):
    try:
        await coroutine
    except IqError as e:
        assert e.condition == condition, e
    else:
        sys.exit("there is no error, but should be " + condition)


async def written(romeo, juliet, nurse):
    """120 messages, now the one writes and now the other; and when the second half began."""
    said = []
    for n in range(120):
        if n == 60:
            for who in (romeo, juliet, nurse):
                await who.settled()
            await asyncio.sleep(0.02)
            half = datetime.now(timezone.utc)
            await asyncio.sleep(0.02)
        who, to = (romeo, J) if n % 2 else (juliet, R)
        if n % WITH_NURSE == 0:
            who, to = (nurse, J)
        who.send_message(to, "line %d" % n, mtype="chat")
        await who.settled()
        said.append("line %d" % n)
    return said, half


async def page_by_page(juliet, said):
    """Forwards with slixmpp's own iterator, and backwards by hand."""
    got, sizes = [], []
    async for page in juliet["xep_0313"].retrieve(iterator=True, rsm={"max": 50}):
        got += bodies(page["mam"]["results"])
        sizes.append(len(page["mam"]["results"]))
    assert got == said and sizes == [50, 50, 20], (sizes, got)

    # slixmpp's iterator stops too early backwards: it takes the last page, with which it
    # begins, for the end, because the server tells the index and the count of it.
    got, before, fins = [], True, []
    while not fins or not complete(fins[-1]):
        results, fin = await gathered(juliet, max="50", before=before)
        got = bodies(results) + got
        fins.append(fin)
        before = fin["rsm"]["first"]
    assert got == said, got
    assert [(f["rsm"]["first_index"], f["rsm"]["count"]) for f in fins] == [("70", "120"), ("20", "120"), ("0", "120")], fins


async def gathered(who, **query):
    """Sends a query with what retrieve() cannot say, and gathers what is heard with its id."""
    iq, mask = who["xep_0313"]._pre_mam_retrieve()
    for name, value in query.items():
        if name == "ids":
            iq["mam"]["ids"] = value
        else:
            iq["mam"]["rsm"][name] = value
    heard = Collector("results of " + iq["id"], MatchXMLMask(str(mask)))
    who.register_handler(heard)
    try:
        answer = await iq.send(timeout=30)
    finally:
        results = heard.stop()
    return results, answer["mam_fin"]


async def selected(juliet, said, half):
    """One peer, a time, both, the last page, nothing at all, ids, and what there is not."""
    nurse = said[::WITH_NURSE]
    got, fin = await asks(juliet, with_jid=N, rsm={"max": 100})
    assert bodies(got) == nurse and fin["rsm"]["count"] == str(len(nurse)), bodies(got)
    got, _ = await asks(juliet, with_jid=N + "/n", rsm={"max": 100})
    assert bodies(got) == nurse, bodies(got)
    got, fin = await asks(juliet, with_jid="paris@localhost")
    assert got == [] and fin["rsm"]["count"] == "0", got

    late, _ = await asks(juliet, start=half, rsm={"max": 100})
    assert bodies(late) == said[60:], bodies(late)
    got, _ = await asks(juliet, end=half, rsm={"max": 100})
    assert bodies(got) == said[:60], bodies(got)
    got, _ = await asks(juliet, start=half, with_jid=N)
    assert bodies(got) == [b for b in nurse if b in said[60:]], bodies(got)
    # Its stamp selects a message: what was seen of an archive is enough to go on with it.
    # Those of the same millisecond are selected with it.
    def stamp(result):
        return result["mam_result"]["forwarded"]["delay"]["stamp"]
    got, _ = await asks(juliet, start=stamp(late[5]), rsm={"max": 100})
    assert bodies(got)[-55:] == said[65:], bodies(got)
    assert bodies(got) == bodies([r for r in late if stamp(r) >= stamp(late[5])]), bodies(got)

    last, fin = await gathered(juliet, max="3", before=True)
    assert bodies(last) == said[-3:], bodies(last)
    got, fin = await asks(juliet, rsm={"max": 50, "after": fin["rsm"]["last"]})
    assert got == [] and complete(fin), got
    got, fin = await asks(juliet, rsm={"max": 0})
    assert got == [] and fin["rsm"]["count"] == "120", fin
    await fails("item-not-found", asks(juliet, rsm={"max": 5, "after": "28482-98726-73623"}))
    await fails("forbidden", asks(juliet, jid=R))

    ids = [late[n]["mam_result"]["id"] for n in (3, 8)]
    got, _ = await gathered(juliet, ids=ids)
    assert [m["mam_result"]["id"] for m in got] == ids and bodies(got) == [said[63], said[68]], bodies(got)
    meta = (await juliet["xep_0313"].get_archive_metadata())["mam_metadata"]
    assert meta["end"]["id"] == last[-1]["mam_result"]["id"], meta
    fields = (await juliet["xep_0313"].get_fields()).get_fields()
    assert {"with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"} <= set(fields), fields


async def preferred(romeo, juliet):
    """What is not to be archived arrives, and is not there."""
    prefs = juliet["xep_0441"]
    assert await prefs.get_preferences(timeout=30) == ("always", set(), set())
    await prefs.set_preferences("always", [N], [R], timeout=30)
    assert await prefs.get_preferences(timeout=30) == ("always", {N}, {R})
    before = await asks(juliet, rsm={"max": 0})
    theirs = await asks(romeo, rsm={"max": 0})
    romeo.send_message(J, "off the record", mtype="chat")
    await juliet.hears("message", "off the record", False)
    assert (await asks(juliet, rsm={"max": 0}))[1]["rsm"]["count"] == before[1]["rsm"]["count"]
    assert int((await asks(romeo, rsm={"max": 0}))[1]["rsm"]["count"]) == int(theirs[1]["rsm"]["count"]) + 1
    await prefs.set_preferences("always", [], [], timeout=30)


async def once(romeo, juliet):
    """What waited and what is in the archive are one: the ids say so, and what was read there
    does not come again."""
    await taken("juliet", *where)  # she was given much, and is asked once a second what she has
    await juliet.leaves()
    for n in range(5):
        romeo.send_message(J, "wait %d" % n, mtype="chat")
    await romeo.settled()
    want = ["wait %d" % n for n in range(5)]

    desk = Person("juliet", "j", *where, plugins=PLUGINS)
    seen = []  # by presence
    desk.add_event_handler("message", lambda m: m["body"] and seen.append((m["stanza_id"]["id"], m["stanza_id"]["by"], m["body"])))
    await desk.comes()
    await desk.has("message", "wait 4", True)
    got, _ = await gathered(desk, max="5", before=True)
    assert [b for _, _, b in seen] == want and bodies(got) == want, (seen, bodies(got))
    assert [i for i, _, _ in seen] == [m["mam_result"]["id"] for m in got], (seen, got)
    assert {by for _, by, _ in seen} == {J}, seen
    await desk.leaves()

    for n in range(5):
        romeo.send_message(J, "read %d" % n, mtype="chat")
    await romeo.settled()
    desk = await person("juliet", "j", present=False)
    got, _ = await gathered(desk, max="5", before=True)
    assert bodies(got) == ["read %d" % n for n in range(5)], bodies(got)
    await desk.settled()
    await desk.shows()
    romeo.send_message(J, "now", mtype="chat")
    await desk.waits(desk.heard, ("message", "now", False))
    shown = [h for h in desk.heard if h[0] == "message" and h[1]]
    assert shown == [("message", "now", False)], shown
    return desk


async def retracted(romeo, juliet):
    """Where a message was, the archive says that it was taken back (XEP-0424)."""
    m = romeo.make_message(J, "a slip", mtype="chat")
    m["origin_id"]["id"] = m["id"] = "slip"
    m.send()
    await juliet.has("message", "a slip", False)
    back = romeo.make_message(J, mtype="chat")
    back.xml.append(retraction("slip"))
    back.send()
    await romeo.settled()
    got, _ = await gathered(juliet, max="2", before=True)
    st = got[0]["mam_result"]["forwarded"]["stanza"]
    assert st["body"] == "" and st.xml.find("{urn:xmpp:message-retract:1}retracted") is not None, st


def retraction(of):
    return ET.Element("{urn:xmpp:message-retract:1}retract", id=of)  # slixmpp 1.8.3 speaks version 0


async def main():
    romeo, juliet, nurse = await person("romeo", "r"), await person("juliet", "j"), await person("nurse", "n")
    said, half = await written(romeo, juliet, nurse)
    await page_by_page(juliet, said)
    await selected(juliet, said, half)
    await preferred(romeo, juliet)
    juliet = await once(romeo, juliet)
    await retracted(romeo, juliet)
    for who in (romeo, juliet, nurse):
        await who.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

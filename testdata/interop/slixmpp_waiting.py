"""Two slixmpp clients block, write to who is away, see what waits without being given it, and
are there for some only.

Arguments: port, certificate file.
"""
import asyncio
import sys

from slixmpp.exceptions import IqError

from slixmpp_person import Person, become_contacts

where = sys.argv[1:]
R, J = "romeo@localhost", "juliet@localhost"


async def blocked(romeo, juliet):
    second = await Person("juliet", "second", *where).comes()
    await second["xep_0191"].get_blocked()  # who has asked is told of changes (XEP-0191 §3.3)
    romeo.heard.clear()
    await juliet["xep_0191"].block(R)
    await second.has("block", R)
    await romeo.has("unavailable", J + "/j")
    romeo.send_message(J, "?", mtype="chat")
    await romeo.has("error", "service-unavailable")
    juliet.send_message(R, "!", mtype="chat")
    await juliet.has("error", "not-acceptable")
    info = await juliet["xep_0191"].get_blocked()
    assert {str(j) for j in info["blocklist"]["items"]} == {R}, str(info)
    await juliet["xep_0191"].unblock(R)
    await second.has("unblock", R)
    await romeo.has("available", J + "/j")
    romeo.send_message(J + "/j", "again", mtype="chat")
    await juliet.has("message", "again", False)
    assert ("message", "?", False) not in juliet.heard + second.heard
    await second.leaves()


async def waiting(romeo, juliet):
    """In order, each with its time; a negative priority gets nothing."""
    await juliet.leaves()
    await romeo.hears("unavailable", J + "/j")
    deaf = await Person("juliet", "deaf", *where).comes(ppriority=-1)
    await romeo.has("available", J + "/deaf")
    for n in range(20):
        romeo.send_message(J, "wait %d" % n, mtype="chat")
    await romeo.settled()
    await deaf.heard_nothing("message")
    romeo.send_message(J + "/deaf", "to you", mtype="chat")
    await deaf.hears("message", "to you", False)
    await deaf.leaves()
    await romeo.has("unavailable", J + "/deaf")
    romeo.send_message(J, "wait 20", mtype="chat")
    romeo.send_message(J + "/deaf", "wait 21", mtype="chat")  # to one who has gone
    await romeo.settled()
    juliet = await Person("juliet", "j", *where).comes()
    for n in range(22):
        await juliet.has("message", "wait %d" % n, True)  # each once ...
    await juliet.heard_nothing("message")
    return juliet


async def in_order(romeo, juliet):
    await juliet.leaves()
    await romeo.has("unavailable", J + "/j")
    for n in range(5):
        romeo.send_message(J, "order %d" % n, mtype="chat")
    await romeo.settled()
    juliet = await Person("juliet", "j", *where).comes()
    for n in range(5):
        await juliet.hears("message", "order %d" % n, True)  # ... and one after the other
    return juliet


async def called(ask, *args):
    done = asyncio.get_event_loop().create_future()
    ask(*args, callback=done.set_result)
    return await asyncio.wait_for(done, 30)


async def picked(romeo, juliet):
    """XEP-0013: how many, from whom, some of them, and away with some."""
    await juliet.leaves()
    await romeo.has("unavailable", J + "/j")
    for n in range(4):
        romeo.send_message(J, "pick %d" % n, mtype="chat")
    await romeo.settled()
    juliet = await Person("juliet", "j", *where).comes(present=False)
    flexible = juliet["xep_0013"]
    info = await flexible.get_count()
    assert info["disco_info"]["form"]["values"]["number_of_messages"] == "4", str(info)
    headers = (await flexible.get_headers())["disco_items"]["items"]  # a set: they are ordered by their names
    nodes = sorted(node for _, node, _ in headers)
    assert len(nodes) == 4 and all(name == R + "/r" for _, _, name in headers), headers
    got = await called(flexible.view, nodes[1:3])
    bodies = [m["body"] for m in got["offline"]["results"]]
    assert bodies == ["pick 1", "pick 2"], (bodies, str(got))
    assert (await called(flexible.remove, nodes[1]))["type"] == "result"
    assert (await called(flexible.remove, nodes[1]))["error"]["condition"] == "item-not-found"

    # slixmpp's own fetch() is of type set, and XEP-0013 §2.6 has it of type get: it is refused.
    assert (await called(flexible.fetch))["error"]["condition"] == "bad-request"
    juliet.heard.clear()
    iq = juliet.make_iq_get()
    iq["offline"]["fetch"] = True
    await iq.send()
    for n in (0, 2, 3):
        await juliet.hears("message", "pick %d" % n, True)
    await juliet.shows()  # who picks is not given them
    await romeo.has("available", J + "/j")
    await juliet.heard_nothing("message")
    assert (await called(flexible.purge))["type"] == "result"
    info = await flexible.get_count()
    assert info["disco_info"]["form"]["values"]["number_of_messages"] == "0", str(info)
    return juliet


async def directed(romeo, juliet):
    """Who is there for one only is seen by that one, also when he goes."""
    await juliet.leaves()
    await romeo.has("unavailable", J + "/j")
    romeo.heard.clear()
    juliet = await Person("juliet", "hidden", *where).comes(present=False)
    juliet.send_presence(pto=R, pstatus="for you only")
    await romeo.has("available", J + "/hidden")
    third = await Person("juliet", "third", *where).comes()
    await third.hears("available", R + "/r")
    await third.settled()
    assert ("available", J + "/hidden") not in third.heard, third.heard
    await juliet.heard_nothing("available")  # nor does she see anybody
    try:
        await romeo["xep_0030"].get_info(jid=J + "/hidden", timeout=30)
    except IqError as e:
        sys.exit("who was shown may ask: %s" % e)
    await juliet.leaves()
    await romeo.has("unavailable", J + "/hidden")
    await third.leaves()


async def main():
    romeo, juliet = await Person("romeo", "r", *where).comes(), await Person("juliet", "j", *where).comes()
    await become_contacts(romeo, juliet)
    await blocked(romeo, juliet)
    juliet = await waiting(romeo, juliet)
    juliet = await in_order(romeo, juliet)
    juliet = await picked(romeo, juliet)
    await directed(romeo, juliet)
    await romeo.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

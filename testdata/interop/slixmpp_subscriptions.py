"""Two slixmpp clients deny, accept, sort into groups, remember their rosters, and remove.

Arguments: port, certificate file.
"""
import asyncio
import sys

from slixmpp_person import Cache, Person

where = sys.argv[1:]
R, J = "romeo@localhost", "juliet@localhost"


async def denied_then_accepted(romeo, juliet):
    juliet.client_roster.subscribe(R)
    await juliet.gets(R, "none", "subscribe", ())
    await romeo.hears("subscribe", J)
    romeo.client_roster[J].unauthorize()
    await juliet.hears("unsubscribed", R)
    await juliet.gets(R, "none", "", ())
    juliet.client_roster.subscribe(R)
    await romeo.hears("subscribe", J)
    romeo.client_roster[J].authorize()
    await juliet.gets(R, "to", "", ())
    await juliet.has("subscribed", R)
    await juliet.has("available", R + "/r")
    romeo.client_roster.subscribe(J)
    await juliet.hears("subscribe", R)
    juliet.client_roster[R].authorize()
    await romeo.gets(J, "both", "", ())
    await romeo.has("subscribed", J)
    await romeo.has("available", J + "/j")


async def versions(romeo, juliet, cache):
    """A roster that has not changed is not sent again; what changed is pushed."""
    await juliet.update_roster(R, name="Romeo", groups=["Montague", "Poets"])
    await juliet.gets(R, "both", "", ("Montague", "Poets"))
    for name in ("nurse", "friar", "paris"):  # two changes are to be fewer than all items
        await juliet.update_roster(name + "@localhost", name=name, groups=["Verona"])
        await juliet.gets(name + "@localhost", "none", "", ("Verona",))
    await juliet.leaves()
    await romeo.hears("unavailable", J + "/j")
    version, known = cache.ver, cache.items[R]
    assert version and known["name"] == "Romeo" and set(known["groups"]) == {"Montague", "Poets"}, vars(cache)

    juliet = await Person("juliet", "j", *where, cache=cache).comes()
    await juliet.settled()
    assert juliet.listed["id"] and not juliet.listed["roster"]["items"] and not juliet.pushed, (str(juliet.listed), juliet.pushed)
    assert cache.ver == version and juliet.client_roster[R]["subscription"] == "both", vars(cache)
    await juliet.has("available", R + "/r")
    await juliet.leaves()

    other = await Person("juliet", "other", *where).comes()
    item = other.listed["roster"]["items"][R]  # without a version: all of it
    assert item["name"] == "Romeo" and set(item["groups"]) == {"Montague", "Poets"}, item
    await other.update_roster(R, name="Romeo", groups=["Husbands"])
    await other.del_roster_item("nurse@localhost")
    await other.leaves()

    juliet = await Person("juliet", "j", *where, cache=cache).comes()
    await juliet.waits(juliet.pushed, (R, "both", "", ("Husbands",)))
    await juliet.waits(juliet.pushed, ("nurse@localhost", "remove", "", ()))
    assert not juliet.listed["roster"]["items"], str(juliet.listed)
    assert cache.ver != version and cache.items[R]["groups"] == ["Husbands"], vars(cache)
    assert set(cache.items) - {J} == {R, "friar@localhost", "paris@localhost"}, vars(cache)
    juliet.pushed.clear()
    return juliet


async def removed(romeo, juliet):
    """What slixmpp does to remove: it unsubscribes and removes the item. It ends on both sides."""
    romeo.heard.clear()
    romeo.pushed.clear()
    await juliet.del_roster_item(R)
    await juliet.waits(juliet.pushed, (R, "remove", "", ()))
    await romeo.has("unsubscribe", J)
    await romeo.has("unsubscribed", J)
    await romeo.has("unavailable", J + "/j")
    await romeo.waits(romeo.pushed, (J, "none", "", ()))
    await juliet.has("unavailable", R + "/r")
    romeo.send_presence(pshow="away")
    juliet.heard.clear()
    await romeo.settled()
    await juliet.heard_nothing("available")
    listed = await juliet.get_roster()
    assert R not in listed["roster"]["items"], str(listed)


async def main():
    cache = Cache()
    romeo = await Person("romeo", "r", *where).comes()
    juliet = await Person("juliet", "j", *where, cache=cache).comes()
    await denied_then_accepted(romeo, juliet)
    juliet = await versions(romeo, juliet, cache)
    await removed(romeo, juliet)
    await juliet.leaves()
    await romeo.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

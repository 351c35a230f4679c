"""slixmpp clients publish what they listen to, avatars and what everybody may see; contacts
hear of it who are interested, also those who come later; a stranger reads and subscribes; the
owner creates, configures, purges and deletes nodes.

Arguments: port, certificate file.
"""
import asyncio
import sys

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from slixmpp_person import Person

where = sys.argv[1:]
R, J = "romeo@localhost", "juliet@localhost"
PLUGINS = ("xep_0059", "xep_0060", "xep_0084", "xep_0107", "xep_0118", "xep_0163", "xep_0172")
TUNE = "http://jabber.org/protocol/tune"


class Reader(Person):
    def __init__(self, user, resource, *interests):
        super().__init__(user, resource, *where, plugins=PLUGINS)
        self.interests = interests
        for event, what in (("user_tune_publish", lambda m: ("tune", str(m["from"]), self.item(m)["tune"]["title"])),
                            ("avatar_metadata_publish", lambda m: ("avatar", str(m["from"]), self.item(m)["id"])),
                            ("pubsub_publish", lambda m: ("item", m["pubsub_event"]["items"]["node"], self.item(m)["id"])),
                            ("pubsub_retract", lambda m: ("retract", m["pubsub_event"]["items"]["node"], self.item(m)["id"])),
                            ("pubsub_purge", lambda m: ("purge", m["pubsub_event"]["purge"]["node"])),
                            ("pubsub_delete", lambda m: ("delete", m["pubsub_event"]["delete"]["node"])),
                            ("pubsub_config", lambda m: ("config", m["pubsub_event"]["configuration"]["node"]))):
            self.add_event_handler(event, lambda m, what=what: self.note(self.heard, what(m)))

    @staticmethod
    def item(m):
        return m["pubsub_event"]["items"]["substanzas"][0]

    async def shows(self, **presence):
        for interest in self.interests:
            self["xep_0163"].add_interest(interest)
        await super().shows(**presence)


def payload(text):
    x = ET.Element("{urn:x}x")
    x.text = text
    return x


async def refused(condition, request):
    try:
        await request
    except IqError as e:
        assert e.condition == condition, e.condition
    else:
        sys.exit("nothing was wrong, instead of " + condition)


async def tunes(juliet, romeo):
    await juliet["xep_0118"].publish_tune(artist="Gerald Finzi", title="Introduction")
    await romeo.has("tune", J, "Introduction")
    await juliet.has("tune", J, "Introduction")
    await juliet["xep_0107"].publish_mood("happy")  # nobody is interested
    await romeo.leaves()
    await juliet["xep_0118"].publish_tune(artist="Gerald Finzi", title="Allegro vigoroso")
    romeo = await Reader("romeo", "orchard", TUNE, "urn:xmpp:avatar:metadata").comes()
    await romeo.has("tune", J, "Allegro vigoroso")
    return romeo


async def avatars(juliet, romeo):
    image = b"\x89PNG\r\n\x1a\n" + b"x" * 4096
    sha = juliet["xep_0084"].generate_id(image)
    await juliet["xep_0084"].publish_avatar(image)
    await juliet["xep_0084"].publish_avatar_metadata({"id": sha, "type": "image/png", "bytes": len(image)})
    await romeo.has("avatar", J, sha)
    result = await romeo["xep_0084"].retrieve_avatar(J, sha)
    assert result["pubsub"]["items"]["item"]["avatar_data"]["value"] == image


async def nodes(juliet, stranger, where):
    p, q = juliet["xep_0060"], stranger["xep_0060"]
    form = juliet["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#node_config")
    form.add_field(var="pubsub#access_model", value="open")
    form.add_field(var="pubsub#max_items", value="10")
    await p.create_node(where, "musings", config=form)
    await refused("conflict", p.create_node(where, "musings"))
    if where == J:
        await refused("forbidden", q.create_node(where, "others"))
    result = await q.subscribe(where, "musings", bare=True)
    assert result["pubsub"]["subscription"]["subscription"] == "subscribed"
    for n in "ABC":
        await p.publish(where, "musings", id=n, payload=payload(n))
        await stranger.has("item", "musings", n)
    await refused("forbidden", q.publish(where, "musings", id="D", payload=payload("D")))
    result = await q.get_items(where, "musings")
    assert [i["id"] for i in result["pubsub"]["items"]["substanzas"]] == ["A", "B", "C"]
    result = await q.get_items(where, "musings", max_items=1)
    assert [i["id"] for i in result["pubsub"]["items"]["substanzas"]] == ["C"]
    result = await q.get_item(where, "musings", "B")
    assert result["pubsub"]["items"]["item"]["payload"].text == "B"
    ids = [i[2] for i in (await stranger["xep_0030"].get_items(where, "musings"))["disco_items"]["items"]]
    assert sorted(ids) == ["A", "B", "C"], ids
    assert any(i[1] == "musings" for i in (await stranger["xep_0030"].get_items(where))["disco_items"]["items"])
    assert [s["node"] for s in (await q.get_subscriptions(where))["pubsub"]["subscriptions"]["substanzas"]] == ["musings"]
    await p.retract(where, "musings", "B", notify=True)
    await stranger.has("retract", "musings", "B")
    config = await p.get_node_config(where, "musings")
    form = config["pubsub_owner"]["configure"]["form"]
    assert form.get_values()["pubsub#access_model"] == "open"
    form["type"] = "submit"
    form["values"] = {"FORM_TYPE": "http://jabber.org/protocol/pubsub#node_config", "pubsub#notify_config": True}
    await p.set_node_config(where, "musings", form)
    await stranger.has("config", "musings")
    await p.modify_affiliations(where, "musings", affiliations=[(R, "publisher")])
    result = await p.get_node_affiliations(where, "musings")
    assert (R, "publisher") in [(str(a["jid"]), a["affiliation"]) for a in result["pubsub_owner"]["affiliations"]]
    await p.purge(where, "musings")
    await stranger.has("purge", "musings")
    await p.delete_node(where, "musings")
    await stranger.has("delete", "musings")
    await refused("item-not-found", q.get_items(where, "musings"))


async def main():
    juliet = await Reader("juliet", "balcony", TUNE).comes()
    romeo = await Reader("romeo", "orchard", TUNE).comes()
    # Before they see each other.
    await juliet["xep_0118"].publish_tune(title="Alone")
    await juliet.has("tune", J, "Alone")
    await refused("item-not-found", romeo["xep_0060"].get_items(J, TUNE))
    await nodes(juliet, romeo, J)
    await nodes(juliet, romeo, "pubsub.localhost")
    for who, whom in ((romeo, juliet), (juliet, romeo)):
        who.send_presence(pto=whom.boundjid.bare, ptype="subscribe")
        await whom.has("subscribe", who.boundjid.bare)
        whom.send_presence(pto=who.boundjid.bare, ptype="subscribed")
        await who.has("subscribed", whom.boundjid.bare)
    await romeo.has("tune", J, "Alone")
    romeo = await tunes(juliet, romeo)
    await avatars(juliet, romeo)
    for c in (juliet, romeo):
        await c.leaves()
    print("ok")


asyncio.get_event_loop().run_until_complete(asyncio.wait_for(main(), 200))

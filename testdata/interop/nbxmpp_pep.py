"""Clients made of nbxmpp, the library under Gajim, keep bookmarks, publish an avatar and keys, and
fetch those of somebody who is no contact. One that wants a node otherwise than it is changes it.
Bookmarks are the same by each of its three modules for them, and so are vCards by both of its.

Arguments: port, certificate file.
"""
import base64
import hashlib
import sys

from gi.repository import Gio, GLib

import nbxmpp
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.errors import StanzaError
from nbxmpp.modules.user_avatar import Avatar
from nbxmpp.modules.vcard4 import VCard as VCard4
from nbxmpp.protocol import JID, Presence
from nbxmpp.structs import BookmarkData, OMEMOBundle, StanzaHandler

port, cert = sys.argv[1:]
loop = GLib.MainContext.default()
Y = "juliet@localhost"


def until(what, ok):
    late = []
    timer = GLib.timeout_add_seconds(30, lambda: late.append(True))
    while not ok():
        if late:
            sys.exit("not within 30 s: " + what)
        loop.iteration(True)
    if not late:
        GLib.source_remove(timer)


def answer(task):
    """Waits for the outcome of a request; an error is raised."""
    done = []
    task.add_done_callback(lambda t: done.append(t.get_result()), weak=False)  # it forgets it afterwards
    until("an answer", lambda: done)
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


class Person:
    def __init__(self, user, resource):
        self.events = []
        self.client = c = Client(log_context=user)
        c.set_domain("localhost")
        c.set_username(user)
        c.set_resource(resource)
        c.set_password("pw-" + user)
        c.set_custom_host("127.0.0.1:" + port, ConnectionProtocol.TCP, ConnectionType.START_TLS)
        c.set_accepted_certificates([Gio.TlsCertificate.new_from_file(cert)])
        self.state = ""
        for event in ("connected", "disconnected", "connection-failed"):
            c.subscribe(event, lambda _c, name, *_: setattr(self, "state", name))
        c.register_handler(StanzaHandler(name="message", callback=self.event, ns=nbxmpp.Namespace.PUBSUB_EVENT, priority=49))
        self.EntityCaps.set_caps([nbxmpp.structs.DiscoIdentity(category="client", type="pc", name="test")],
                                 [n + "+notify" for n in (nbxmpp.Namespace.BOOKMARKS_1, nbxmpp.Namespace.AVATAR_METADATA, nbxmpp.Namespace.OMEMO_TEMP_DL)],
                                 "urn:test")
        c.connect()
        until(user + " logs in", lambda: self.state == "connected")
        presence = Presence()
        presence.setTag("c", namespace="http://jabber.org/protocol/caps",
                        attrs={"hash": "sha-1", "node": "urn:test", "ver": self.EntityCaps.caps.ver})
        c.send_stanza(presence)

    def __getattr__(self, module):
        return self.client.get_module(module)

    def event(self, _client, _stanza, properties):
        e = properties.pubsub_event
        if e is not None:
            self.events.append((e.node, e.id, e.data))

    def hears(self, node, id_):
        until("an event of " + node, lambda: [e for e in self.events if e[:2] == (node, id_)])
        found = [e for e in self.events if e[:2] == (node, id_)][-1]
        self.events.clear()
        return found[2]

    def leaves(self):
        self.client.disconnect()
        until("the end", lambda: self.state == "disconnected")


def bookmarks(phone, desk):
    room = JID.from_string("theplay@conference.shakespeare.lit")
    desk.NativeBookmarks.store_bookmarks([BookmarkData(jid=room, name="The Play's the Thing", nick="JC", autojoin=True)])
    data = phone.hears(nbxmpp.Namespace.BOOKMARKS_1, str(room))
    assert (data.jid, data.name, data.autojoin) == (room, "The Play's the Thing", True), data
    listed = answer(phone.NativeBookmarks.request_bookmarks())
    assert [b.jid for b in listed] == [room], listed
    answer(desk.NativeBookmarks.retract_bookmark(room))
    until("it is gone", lambda: answer(phone.NativeBookmarks.request_bookmarks()) == [])


def one_list(phone, desk):
    """The same by XEP-0402, by XEP-0048 as published and in private XML."""
    play, orchard = (JID.from_string(n + "@conference.shakespeare.lit") for n in ("fall", "orchard"))
    desk.NativeBookmarks.store_bookmarks([BookmarkData(jid=play, name="The Play", nick="JC", autojoin=True)])
    phone.hears(nbxmpp.Namespace.BOOKMARKS_1, str(play))
    for module in (phone.PrivateBookmarks, phone.PEPBookmarks):
        data = answer(module.request_bookmarks())
        assert [(b.jid, b.name, b.nick, b.autojoin) for b in data] == [(play, "The Play", "JC", True)], data
    answer(phone.PrivateBookmarks.store_bookmarks(data + [BookmarkData(jid=orchard, name="The Orchard", autojoin=False)]))
    assert desk.hears(nbxmpp.Namespace.BOOKMARKS_1, str(orchard)).name == "The Orchard"
    listed = answer(desk.NativeBookmarks.request_bookmarks())
    assert sorted(str(b.jid) for b in listed) == [str(play), str(orchard)], listed
    phone.PEPBookmarks.store_bookmarks([BookmarkData(jid=orchard, name="The Orchard", autojoin=True)])
    until("one is left", lambda: [(b.jid, b.autojoin) for b in answer(desk.NativeBookmarks.request_bookmarks())] == [(orchard, True)])
    answer(desk.NativeBookmarks.retract_bookmark(orchard))
    assert answer(phone.PrivateBookmarks.request_bookmarks()) == []


def one_card(desk, stranger):
    """The same by XEP-0292 and XEP-0054."""
    card = VCard4()
    card.add_property("fn", value="Juliet Capulet")
    card.add_property("title", value="Heiress")
    card.add_property("tel", value="+39 1", value_type="text")
    answer(desk.VCard4.set_vcard(card, public=True))
    old = answer(stranger.VCardTemp.request_vcard(JID.from_string(Y)))
    assert (old.data["FN"], old.data["TITLE"], old.data["TEL"][0]["NUMBER"]) == ("Juliet Capulet", "Heiress", "+39 1"), old
    old.data["FN"] = "Juliet"
    answer(desk.VCardTemp.set_vcard(old))
    names = {p.name: p.value for p in answer(stranger.VCard4.request_vcard(JID.from_string(Y))).get_properties()}
    assert names["fn"] == "Juliet" and names["title"] == "Heiress", names
    # As Gajim does for somebody who wants contacts alone to see it.
    answer(desk.VCard4.set_vcard(card, public=False))
    try:
        answer(stranger.VCardTemp.request_vcard(JID.from_string(Y)))
        sys.exit("what is for contacts is for everybody")
    except StanzaError as e:
        assert e.condition == "service-unavailable", e.condition


def keys(desk, stranger):
    bundle = OMEMOBundle(spk={"id": 1, "key": b"k" * 33}, spk_signature=b"s" * 64, ik=b"i" * 33,
                         otpks=[{"id": n, "key": b"%02d" % n * 16} for n in range(1, 101)])
    answer(desk.OMEMO.set_bundle(bundle, 31415))
    answer(desk.OMEMO.set_devicelist([31415]))
    assert answer(stranger.OMEMO.request_devicelist(Y)) == [31415]
    got = answer(stranger.OMEMO.request_bundle(Y, 31415))
    assert got.ik == bundle.ik and len(got.otpks) == 100
    # Another client has made it one for contacts; publishing changes it back.
    answer(desk.PubSub.set_access_model(nbxmpp.Namespace.OMEMO_TEMP_DL, "presence"))
    try:
        answer(stranger.OMEMO.request_devicelist(Y))
        sys.exit("what is for contacts is for everybody")
    except StanzaError as e:
        assert e.condition == "item-not-found", e.condition
    answer(desk.OMEMO.set_devicelist([31415, 27182]))
    assert answer(stranger.OMEMO.request_devicelist(Y)) == [31415, 27182]
    assert answer(desk.PubSub.get_access_model(nbxmpp.Namespace.OMEMO_TEMP_DL)) == "open"


def avatars(desk, phone, stranger):
    image = b"\x89PNG\r\n\x1a\n" + b"x" * 40000
    avatar = Avatar()
    avatar.add_image_source(image, "image/png", 64, 64)
    answer(desk.UserAvatar.set_avatar(avatar, public=True))
    sha = [i.id for i, _ in avatar.pubsub_avatar_info()][0]
    assert phone.hears(nbxmpp.Namespace.AVATAR_METADATA, sha).default == sha
    assert answer(stranger.UserAvatar.request_avatar_metadata(Y)).default == sha
    assert answer(stranger.UserAvatar.request_avatar_data(sha, Y)).data == image
    old = answer(stranger.VCardTemp.request_vcard(JID.from_string(Y)))
    assert base64.b64decode(old.data["PHOTO"]["BINVAL"]) == image, old
    answer(desk.UserAvatar.set_avatar(None, public=True))
    until("no avatar", lambda: phone.events)
    phone.events.clear()
    old.data["PHOTO"]["BINVAL"] = base64.b64encode(image[:-1]).decode()
    answer(desk.VCardTemp.set_vcard(old))
    sha = hashlib.sha1(image[:-1]).hexdigest()
    assert phone.hears(nbxmpp.Namespace.AVATAR_METADATA, sha).default == sha
    assert answer(stranger.UserAvatar.request_avatar_data(sha, Y)).data == image[:-1]


phone, desk, stranger = Person("juliet", "phone"), Person("juliet", "desk"), Person("romeo", "x")
bookmarks(phone, desk)
one_list(phone, desk)
one_card(desk, stranger)
keys(desk, stranger)
avatars(desk, phone, stranger)
for p in (phone, desk, stranger):
    p.leaves()
print("ok")

"""Dino in a window, as Juliet or as Romeo, each with one of these. They are strangers; they become
contacts, encrypt, send a picture, and one goes into a room and one shows a face. Dino finds the
server by the domain alone. Run inside dbus-run-session, where the server is on its usual port.

Arguments: who, certificate file, directory for the screenshots, a picture.
"""
import asyncio
import os
import pathlib
import re
import sqlite3
import sys
import xml.etree.ElementTree as ET

from gi.repository import Gio, GLib

from gajim_window import Window
from slixmpp_person import Person

who, cert, shots, picture = sys.argv[1:]
J, R = "juliet@localhost", "romeo@localhost"
OMEMO = 2  # what its database says of a message that is encrypted so


class Dino(Window):
    name = "Dino"

    def configure(self):
        """What its assistant would write. Nothing moves."""
        os.makedirs(self.home + "/.config/gtk-4.0")
        with open(self.home + "/.config/gtk-4.0/settings.ini", "w") as f:
            f.write("[Settings]\ngtk-enable-animations=0\ngtk-cursor-blink=0\n")
        os.makedirs(self.home + "/.local/share/dino")
        self.file = self.home + "/.local/share/dino/dino.db"
        db = sqlite3.connect(self.file)
        db.execute("create table account (id integer primary key autoincrement, bare_jid text not null unique, resourcepart text, password text,"
                   " alias text, enabled integer, roster_version text, mam_earliest_synced integer)")
        db.execute("insert into account (bare_jid, resourcepart, password, alias, enabled, mam_earliest_synced) values (?, 'dino', ?, '', 1, 0)",
                   (who + "@localhost", "pw-" + who))
        db.commit()
        db.close()

    def dino(self):
        self.env["GSK_RENDERER"] = "cairo"
        return self.start("dino-im", "--print-xmpp=all", stdout=self.log, stderr=self.log)

    def opens(self, uri):
        args = GLib.Variant("(assa{sv})", ([uri], "", {}))
        self.on("org.gtk.Application", "Open", args)

    def does(self, action):
        self.on("org.gtk.Actions", "Activate", GLib.Variant("(sava{sv})", (action, [], {})))

    def on(self, interface, method, args):
        bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        bus.call_sync("im.dino.Dino", "/im/dino/Dino", interface, method, args, None, Gio.DBusCallFlags.NO_AUTO_START, 5000, None)

    async def press(self, x, y):
        """Clicks, when what is there has been drawn."""
        await self.still()
        self.xdotool("mousemove", str(x), str(y), "click", "1")

    def types(self, text):
        self.xdotool("type", "--delay", "15", text)
        self.xdotool("key", "Return")

    async def asks(self, title):
        """Waits for the dialogue with that title, which hears keys then."""
        await self.until("ask: " + title, lambda: self.xdotool("getwindowfocus", "getwindowname").strip() == title)
        await self.still()

    async def file_is(self, title, path):
        """Names a file in the dialogue that asks for one."""
        await self.asks(title)
        self.xdotool("key", "slash")
        await asyncio.sleep(0.5)
        await self.still()
        self.types(path[1:])
        await self.until("have been told", lambda: not self.has(title))
        await self.still()

    def rows(self, query, *args):
        db = sqlite3.connect("file:%s?mode=ro" % self.file, uri=True)
        try:
            return db.execute(query, args).fetchall()
        finally:
            db.close()

    def said(self):
        """What it has of messages, with how they came."""
        return self.rows("select body, encryption from message where body is not null order by id")

    def received(self, path):
        """Whether a file has come that is that one."""
        with open(path, "rb") as f:
            want = f.read()
        return any(f.read_bytes() == want for f in pathlib.Path(self.home, ".local/share/dino/files").glob("*"))

    def heard(self, pattern):
        """Whether something of that kind was on the wire. A tag is written {namespace}:name there."""
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            return re.search(pattern, f.read(), re.S) is not None


window = Dino("5222", cert, shots)


def answer(verb, node):
    """The beginning of the server's answer to a request about a node, as a pattern."""
    return r"IN [^<]*<[^<]*:iq [^<]*<[^<]*:pubsub [^<]*<[^<]*:%s [^<]*node='%s" % (verb, re.escape(node))


def presence(way, kind):
    return r"%s [^<]*<[^<]*:presence [^<]*type='%s'" % (way, kind)


async def encrypt(text):
    """Closes the lock, in the open conversation, and writes."""
    await window.press(1163, 663)
    await window.press(1158, 777)
    window.xdotool("key", "Escape")
    await window.press(700, 663)
    window.types(text)


async def online():
    window.dino()
    await window.until("have its keys there, and come up with the archive", 
                       lambda: window.heard(r"\{urn:xmpp:mam:2\}:fin") and window.heard(answer("publish", "eu.siacs.conversations.axolotl.bundles")))
    await window.still()
    print("online", flush=True)


async def juliet():
    await online()
    window.opens("xmpp:hall@conference.localhost?join")
    await window.press(315, 27)  # "Join"
    await window.until("keep the room", lambda: window.heard(answer("publish", "urn:xmpp:bookmarks:1")))
    window.opens("xmpp:%s?message" % R)
    await window.until("be asked", lambda: window.heard(presence("IN", "subscribe")))
    await window.press(892, 78)  # "Accept"
    await window.until("be accepted", lambda: window.heard(presence("IN", "subscribed")))
    await encrypt("Deny thy father")
    await window.until("have an answer", lambda: ("And refuse thy name", OMEMO) in window.said() or window.said())
    await window.press(338, 663)  # the paper clip
    await window.file_is("Select file", picture)
    window.picture("sending")
    await window.insists("have sent it", lambda: window.heard(r"OUT [^<]*<[^<]*:iq [^<]*<\{urn:xmpp:http:upload:0\}:request"),
                         lambda: window.xdotool("key", "Return"))  # "Send"
    await window.until("see Romeo's face", lambda: window.heard(answer("items", "urn:xmpp:avatar:data") + "[^<]*<[^<]*:item "))
    await window.still()
    window.picture("juliet")
    await asyncio.sleep(2)
    other = await Person("juliet", "old", "5222", cert).comes(present=False)
    iq = other.make_iq_get()
    iq.xml.append(ET.fromstring("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>"))
    listed = [c.get("jid") for c in (await iq.send(timeout=30)).xml.iter("{storage:bookmarks}conference")]
    assert listed == ["hall@conference.localhost"], listed
    await other.leaves()


async def romeo():
    await online()
    window.does("add_chat")
    await window.asks("Start Conversation")
    await window.press(109, 509)  # "+"
    await window.asks("Add Contact")
    await window.press(190, 130)
    window.xdotool("type", "--delay", "15", J)
    await window.press(275, 28)  # "Add"
    await window.until("ask", lambda: window.heard(presence("OUT", "subscribe")))
    window.xdotool("key", "Escape")
    await window.until("be asked", lambda: window.heard(presence("IN", "subscribe")))
    window.opens("xmpp:%s?message" % J)
    await window.press(892, 78)  # "Accept"
    await window.until("read what she has encrypted", lambda: ("Deny thy father", OMEMO) in window.said() or window.said())
    await encrypt("And refuse thy name")
    await window.until("have her picture", lambda: window.received(picture))
    window.does("accounts")
    await window.asks("Accounts")
    await window.press(330, 96)  # the picture of the account
    await window.file_is("Select avatar", picture)
    await window.until("publish a face", lambda: window.heard(answer("publish", "urn:xmpp:avatar:metadata")))
    await window.still()
    window.picture("romeo")
    await asyncio.sleep(5)


async def play():
    await (juliet if who == "juliet" else romeo)()
    print("ok", flush=True)


window.play(play())

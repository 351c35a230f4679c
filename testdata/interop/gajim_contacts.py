"""Gajim in a window adds a contact, is asked by others and accepts and denies, sees who is
there, blocks and removes. The others are slixmpp. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import asyncio
import hashlib
import os
import struct
import sys
import zlib

from gajim_window import ACCOUNT, Window
from slixmpp_person import Person

port, cert, shots = sys.argv[1:]
window = Window(port, cert, shots)
J, R, N, P = (name + "@localhost" for name in ("juliet", "romeo", "nurse", "paris"))


async def sure(title, key):
    """Answers when Gajim asks whether it is meant."""
    await window.until("ask: " + title, lambda: window.has(title))
    window.keys(title, key)
    await window.until("have the answer", lambda: not window.has(title))


async def added(romeo):
    """Juliet adds Romeo: he accepts and asks back, and Gajim lets him without a question."""
    window.act(ACCOUNT + "-add-contact", "as", [ACCOUNT, R])
    await window.adds(R, "Montague")
    await romeo.has("subscribe", J)
    romeo.client_roster[J].authorize()
    await romeo.gets(J, "from", "", ())
    romeo.client_roster.subscribe(J)
    await romeo.gets(J, "both", "", ())
    await window.until("show Romeo in his group", lambda: window.shown(R, "online", "Montague"))


async def asked(nurse, paris):
    """The nurse asks Juliet, who accepts and adds her; Paris asks and is denied."""
    nurse.client_roster.subscribe(J)
    await window.until("get a request", lambda: window.logged("Received Subscribe: " + N))
    await window.still()
    window.picture("asked")
    window.click("Gajim", 830, 429)  # "Accept"
    await nurse.has("subscribed", J)
    await window.adds(N, "Capulet")
    await nurse.has("subscribe", J)
    gajim = next(h[1] for h in nurse.heard if h[0] == "available" and h[1].startswith(J + "/"))
    nurse.client_roster[J].authorize()
    await window.until("show the nurse", lambda: window.shown(N, "online", "Capulet"))

    paris.client_roster.subscribe(J)
    await window.until("get a request", lambda: window.logged("Received Subscribe: " + P))
    window.act("subscription-deny-" + ACCOUNT, "s", P, where="/org/gajim/Gajim/window/1")
    await paris.has("unsubscribed", J)
    await paris.gets(J, "none", "", ())
    return gajim


def image():
    """A picture of one colour."""
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x30\x60\xc0" * 48) * 48)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0)) + part(b"IDAT", rows) + part(b"IEND", b"")


async def photo(romeo):
    """Romeo's new photo is fetched, for its hash comes with his presence (XEP-0398 §4)."""
    card, png = romeo["xep_0054"].make_vcard(), image()
    card["PHOTO"]["TYPE"], card["PHOTO"]["BINVAL"] = "image/png", png
    await romeo["xep_0054"].publish_vcard(card)
    name = window.home + "/avatars/" + hashlib.sha1(png).hexdigest()
    await window.until("have the photo", lambda: os.path.exists(name))


async def seen(romeo, nurse):
    """Everybody as they are, in two groups."""
    romeo.send_presence(pshow="away", pstatus="in the garden")
    nurse.send_presence(pshow="dnd")
    await window.until("show Romeo as away", lambda: window.shown(R, "away", "Montague"))
    await window.until("show the nurse as busy", lambda: window.shown(N, "dnd", "Capulet"))
    await window.still()
    window.picture("contacts")


async def blocked(nurse, gajim):
    nurse.heard.clear()
    window.act(ACCOUNT + "-block-contact", "s", N)
    await sure("Block Contact", "alt+b")
    await nurse.has("unavailable", gajim)
    nurse.send_message(J, "?", mtype="chat")
    await nurse.has("error", "service-unavailable")
    window.act(ACCOUNT + "-block-contact", "s", N)  # the other way it does not ask
    await nurse.has("available", gajim)
    await window.until("show the nurse again", lambda: window.shown(N, "dnd", "Capulet"))
    nurse.send_message(J, "Madam!", mtype="chat")
    await window.until("get a message", lambda: window.unread() == 1)


async def removed(romeo):
    window.act(ACCOUNT + "-remove-contact", "s", R)
    await sure("Remove Contact", "alt+r")
    await romeo.has("unsubscribe", J)
    await romeo.has("unsubscribed", J)
    await window.until("have the nurse alone", lambda: set(window.contacts()) == {N} or window.contacts())


async def play():
    romeo, nurse, paris = [await Person(n, "slixmpp", port, cert).comes() for n in ("romeo", "nurse", "paris")]
    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    await added(romeo)
    await photo(romeo)
    gajim = await asked(nurse, paris)
    await seen(romeo, nurse)
    await blocked(nurse, gajim)
    await removed(romeo)
    print("ok", flush=True)


window.play(play())

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
from slixmpp_person import Person, taken

port, cert, shots = sys.argv[1:]
window = Window(port, cert, shots)
J, R, N, P = (name + "@localhost" for name in ("juliet", "romeo", "nurse", "paris"))
KIN = ("tybalt@localhost", "rosaline@localhost")  # who do not exist


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
    address = next(h[1] for h in nurse.heard if h[0] == "available" and h[1].startswith(J + "/"))
    nurse.client_roster[J].authorize()
    await window.until("show the nurse", lambda: window.shown(N, "online", "Capulet"))

    paris.client_roster.subscribe(J)
    await window.until("get a request", lambda: window.logged("Received Subscribe: " + P))
    window.act("subscription-deny-" + ACCOUNT, "s", P, where="/org/gajim/Gajim/window/1")
    await paris.has("unsubscribed", J)
    await paris.gets(J, "none", "", ())
    return address


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
    return window.home + "/avatars/" + hashlib.sha1(png).hexdigest()  # where it will be


async def seen(romeo, nurse, avatar):
    """Everybody as they are, in two groups."""
    romeo.send_presence(pshow="away", pstatus="in the garden")
    nurse.send_presence(pshow="dnd")
    await window.until("show Romeo as away", lambda: window.shown(R, "away", "Montague"))
    await window.until("show the nurse as busy", lambda: window.shown(N, "dnd", "Capulet"))
    await window.until("have Romeo's photo", lambda: os.path.exists(avatar))  # it fetches one in two seconds
    await window.still()
    window.picture("contacts")


async def blocked(nurse, address):
    nurse.heard.clear()
    window.act(ACCOUNT + "-block-contact", "s", N)
    await window.sure("Block Contact", "alt+b")
    await nurse.has("unavailable", address)
    nurse.send_message(J, "?", mtype="chat")
    await nurse.has("error", "service-unavailable")
    window.act(ACCOUNT + "-block-contact", "s", N)  # the other way it does not ask
    await nurse.has("available", address)
    await window.until("show the nurse again", lambda: window.shown(N, "dnd", "Capulet"))
    nurse.send_message(J, "Madam!", mtype="chat")
    await window.until("get a message", lambda: window.unread() == 1)


async def removed(romeo):
    window.act(ACCOUNT + "-remove-contact", "s", R)
    await window.sure("Remove Contact", "alt+r")
    await romeo.has("unsubscribe", J)
    await romeo.has("unsubscribed", J)
    await window.until("not have Romeo any more", lambda: R not in window.contacts())


async def again(gajim, other, nurse):
    """Gajim keeps its list over a restart, and gets what another client has changed meanwhile."""
    await taken("juliet", port, cert)  # what it does not say that it has it is given again
    window.act("quit")
    await window.sure("Unread Messages", "alt+q")
    await window.ended(gajim)
    await other.update_roster(N, name="Nurse", groups=["Household"])
    nurse.send_message(J, "Where are you?", mtype="chat")
    await nurse.settled()
    window.gajim()
    await window.until("log in again", lambda: window.status() == "online")
    await window.until("get what waited, beside what it has kept", lambda: window.unread() == 2 or window.unread())
    await window.until("show the nurse where she is now", lambda: window.shown(N, "dnd", "Household"))
    assert window.contacts()[N]["name"] == "Nurse" and set(window.contacts()) == {N, *KIN}, window.contacts()


async def play():
    romeo, nurse, paris = [await Person(n, "slixmpp", port, cert).comes() for n in ("romeo", "nurse", "paris")]
    other = await Person("juliet", "slixmpp", port, cert).comes(present=False)  # it only looks after her list
    for jid in KIN:
        await other.update_roster(jid, groups=["Kin"])
    gajim = window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    await added(romeo)
    avatar = await photo(romeo)
    address = await asked(nurse, paris)
    await seen(romeo, nurse, avatar)
    await blocked(nurse, address)
    await removed(romeo)
    await again(gajim, other, nurse)
    print("ok", flush=True)


window.play(play())

"""Gajim in a window sends a picture by its own dialogue to Romeo, who sits in a browser, and shows
the one that he sends back. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots, the picture to send.
"""
import asyncio
import os
import pathlib
import sys

from gajim_window import Window
from slixmpp_person import Person, become_contacts

port, cert, shots, picture = sys.argv[1:]
J, R = "juliet@localhost", "romeo@localhost"


class Trusting(Window):
    # Gajim's requests by HTTP believe what the system believes, which here is the server's own certificate.
    before = "from gi.repository import Gio; Gio.TlsBackend.get_default().set_default_database(Gio.TlsFileDatabase.new(%r)); " % os.path.abspath(cert)


window = Trusting(port, cert, shots)


async def befriend():
    romeo, juliet = await Person("romeo", "r", port, cert).comes(), await Person("juliet", "j", port, cert).comes()
    await become_contacts(romeo, juliet)
    await juliet.leaves()
    await romeo.leaves()


def bodies():
    return [body for body, _ in window.history()]


def fetched():
    """What Gajim has fetched of files that it was told of."""
    return [f.read_bytes() for f in pathlib.Path(window.home, "downloads").iterdir() if f.suffix == ".png"]


async def play():
    await befriend()
    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    window.gajim("xmpp:%s?message" % R).wait(90)  # opens the chat in the running one
    print("online", flush=True)
    await window.until("be asked", lambda: "What's in a name?" in bodies())
    sent = pathlib.Path(picture)
    window.act("send-file-httpupload", "as", [sent.resolve().as_uri()], where="/org/gajim/Gajim/window/1")
    await window.still()
    window.picture("sending")
    await window.insists("have sent it", lambda: len(bodies()) > 1, lambda: window.keys("Gajim", "Return"))  # "Send Files"
    await window.until("be sent another", lambda: bodies()[-1].endswith("/rose.png") or bodies())
    await window.until("fetch that, and its own", lambda: len(fetched()) == 2 or [len(f) for f in fetched()])
    assert sent.read_bytes() in fetched()
    assert bodies()[1].endswith("/" + sent.name), bodies()
    window.say(R, "As sweet")
    await window.still()
    window.picture("picture")
    await window.until("note what it has said", lambda: bodies()[-1] == "As sweet" or bodies())
    print("ok", flush=True)


window.play(play())

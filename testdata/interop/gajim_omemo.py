"""Gajim in a window, with its plugin for OMEMO, is written to by Romeo, who sits at a Profanity that
somebody else plays, and answers. Both encrypt. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import sys

from gajim_window import Window

R = "romeo@localhost"


class Encrypting(Window):
    plugins, people = {"omemo": {"active": True}}, {R: {"encryption": "OMEMO"}}


window = Encrypting(*sys.argv[1:])


async def play():
    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    print("online", flush=True)
    await window.until("read what Romeo has encrypted", lambda: "By a name" in [m[0] for m in window.history()])
    window.say(R, "I know the sound")
    await window.until("note what it has written", lambda: "I know the sound" in [m[0] for m in window.history()])
    await window.until("read another", lambda: "Neither, fair maid" in [m[0] for m in window.history()])
    window.picture("omemo")
    print("ok", flush=True)


window.play(play())

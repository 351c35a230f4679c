"""Gajim in a window adds Romeo, who sits at a Profanity that somebody else plays, sees him
away, writes to him and is answered. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import sys

from gajim_window import ACCOUNT, Window

window = Window(*sys.argv[1:])
R = "romeo@localhost"


async def play():
    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    window.act(ACCOUNT + "-add-contact", "as", [ACCOUNT, R])
    await window.adds(R, "Montague")
    await window.until("show Romeo, who has gone away", lambda: window.shown(R, "away", "Montague"))
    window.say(R, "Ay me!")
    await window.until("be answered", lambda: window.unread() == 1)
    await window.until("show that he leaves", lambda: window.shown(R, "offline", "Montague"))
    print("ok", flush=True)


window.play(play())

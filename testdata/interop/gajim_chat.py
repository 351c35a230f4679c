"""Gajim in a window logs in, shows its roster and who is there, and chats both ways. Romeo, on
the other side, is slixmpp. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import sys

from gajim_window import Window
from slixmpp_person import Person, become_contacts

port, cert, shots = sys.argv[1:]
window = Window(port, cert, shots)
R, J = "romeo@localhost", "juliet@localhost"


async def befriend(romeo):
    """As she has her contact, whom she keeps in a group, before Gajim is there."""
    juliet = await Person("juliet", "first", port, cert).comes()
    await juliet.update_roster(R, name="Romeo", groups=["Montague"])
    await become_contacts(romeo, juliet)
    await juliet.leaves()
    await romeo.has("unavailable", juliet.boundjid.full)


async def play():
    romeo = await Person("romeo", "r", port, cert).comes(pstatus="in the garden")
    await befriend(romeo)
    romeo.send_message(J, "This waited for you.", mtype="chat")

    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    await window.until("show Romeo as online, in his group", lambda: window.shown(R, "online", "Montague"))
    await window.until("get what waited", lambda: window.unread() >= 1)

    window.gajim("xmpp:%s?message" % R).wait(90)  # opens the chat in the running one
    romeo.send_message(J, "But soft, what light through yonder window breaks?", mtype="chat")
    await window.until("hear that", lambda: len(window.history()) == 2 or window.history())
    window.say(R, "Ay me!")
    await romeo.has("message", "Ay me!", False)
    await window.still()
    window.picture("chat")
    window.own_page()
    await window.still()
    window.picture("roster")
    romeo.send_presence(pshow="away")
    await window.until("see Romeo go away", lambda: window.shown(R, "away", "Montague"))
    await romeo.leaves()
    await window.until("see Romeo leave", lambda: window.shown(R, "offline", "Montague"))
    window.change_status("offline")
    await window.until("log out", lambda: window.status() == "offline")
    print("ok", flush=True)


window.play(play())

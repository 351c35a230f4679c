"""Gajim in a window talks to Romeo, who is slixmpp, and is thrown away with all that it knows.
A new one shows the conversation, from the archive, and nothing of it twice. Run inside
dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import asyncio
import sys

from gajim_window import Window
from slixmpp_person import Person, become_contacts, taken

port, cert, shots = sys.argv[1:]
window = Window(port, cert, shots)
R, J = "romeo@localhost", "juliet@localhost"
SAID = ["What man art thou?", "I know not how to tell thee", "Art thou not Romeo?", "Neither, fair maid"]


async def befriend(romeo):
    juliet = await Person("juliet", "first", port, cert).comes()
    await become_contacts(romeo, juliet)
    await juliet.leaves()


def bodies():
    return [body for body, _ in window.history()]


async def goes(gajim):
    await taken("juliet", port, cert)
    window.act("quit")
    await window.until("ask or quit", lambda: gajim.poll() is not None or window.has("Unread Messages"))
    if gajim.poll() is None:
        await window.insists("quit all the same", lambda: not window.has("Unread Messages"), lambda: window.keys("Unread Messages", "alt+q"))
    await window.ended(gajim)


async def play():
    romeo = await Person("romeo", "r", port, cert).comes()
    await befriend(romeo)
    gajim = window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    for n, body in enumerate(SAID):
        if n % 2:
            romeo.send_message(J, body, mtype="chat")
        else:
            window.say(R, body)
            await romeo.has("message", body, False)
        await window.until("note " + body, lambda: bodies()[-1:] == [body] or bodies())
    assert bodies() == SAID, bodies()
    await goes(gajim)
    romeo.send_message(J, "And this waited", mtype="chat")
    await romeo.settled()

    window.renew()
    gajim = window.gajim()
    await window.until("log in again", lambda: window.status() == "online")
    want = SAID + ["And this waited"]
    await window.until("show what was said", lambda: sorted(bodies()) == sorted(want) or bodies())
    window.gajim("xmpp:%s?message" % R).wait(90)  # opens the chat in the running one
    romeo.send_message(J, "And this is new", mtype="chat")
    want.append("And this is new")
    await window.until("hear what is new", lambda: bodies()[-1:] == want[-1:] or bodies())
    await window.still()
    assert bodies() == want, bodies()
    window.picture("archive")
    await goes(gajim)
    await romeo.leaves()
    print("ok", flush=True)


window.play(play())

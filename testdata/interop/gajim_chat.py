"""Gajim in a window logs in, shows its roster and who is there, and chats both ways. Romeo, on
the other side, is slixmpp. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import asyncio
import sys

import slixmpp

from gajim_window import Window

port, cert, shots = sys.argv[1:]
window = Window(port, cert, shots)


class Client(slixmpp.ClientXMPP):
    def __init__(self, user):
        super().__init__(user + "@localhost", "pw-" + user)
        self.ca_certs = cert
        self.ready = asyncio.get_event_loop().create_future()
        self.said = asyncio.Queue()
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", lambda m: m["body"] and self.said.put_nowait(m["body"]))

    async def started(self, _):
        await self.get_roster()
        self.send_presence(pstatus="in the garden")
        self.ready.set_result(True)


async def login(user):
    c = Client(user)
    c.connect(("127.0.0.1", int(port)))
    await asyncio.wait_for(c.ready, 30)
    return c


async def play():
    romeo, juliet = await login("romeo"), await login("juliet")
    juliet.update_roster("romeo@localhost", name="Romeo", groups=["Montague"])
    juliet.send_presence_subscription("romeo@localhost")  # both sides agree by themselves
    for _ in range(100):
        if juliet.client_roster["romeo@localhost"]["subscription"] == "both":
            break
        await asyncio.sleep(0.1)
    juliet.disconnect()
    await asyncio.sleep(0.5)
    romeo.send_message("juliet@localhost", "This waited for you.", mtype="chat")

    window.gajim()
    await window.until("log in", lambda: window.status() == "online")
    await window.until("show Romeo as online, in his group", lambda: window.contacts()["romeo@localhost"]["show"] == "online"
                and window.contacts()["romeo@localhost"]["groups"] == ["Montague"] or window.contacts())
    await window.until("get what waited", lambda: window.unread() >= 1)

    window.gajim("xmpp:romeo@localhost?message").wait(30)  # opens the chat in the running one
    romeo.send_message("juliet@localhost", "But soft, what light through yonder window breaks?", mtype="chat")
    await asyncio.sleep(1)
    window.say("romeo@localhost", "Ay me!")
    try:
        said = await asyncio.wait_for(romeo.said.get(), 30)
    except asyncio.TimeoutError:
        window.give_up("does not send")
    assert said == "Ay me!", said
    await asyncio.sleep(2)
    window.picture("chat")
    window.own_page()
    await asyncio.sleep(2)
    window.picture("roster")
    romeo.send_presence(pshow="away")
    await window.until("see Romeo go away", lambda: window.contacts()["romeo@localhost"]["show"] == "away" or window.contacts())
    romeo.disconnect()
    await window.until("see Romeo leave", lambda: window.contacts()["romeo@localhost"]["show"] == "offline" or window.contacts())
    window.change_status("offline")
    await window.until("log out", lambda: window.status() == "offline")
    print("ok", flush=True)


window.play(play())

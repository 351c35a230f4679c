"""Gajim itself, in a window on a screen of its own: it logs in, shows its roster and who is
there, and chats both ways. Romeo, on the other side, is slixmpp.

Gajim is asked and told over its D-Bus interface. Run inside dbus-run-session.

Arguments: port, certificate file, directory for the screenshots.
"""
import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import slixmpp
from gi.repository import Gio, GLib

port, cert, shots = sys.argv[1:]
home = tempfile.mkdtemp(prefix="gajim-")
env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=home, GDK_BACKEND="x11", NO_AT_BRIDGE="1", LC_ALL="C.UTF-8",
           GSETTINGS_BACKEND="memory")
children = []


def start(*command, **more):
    child = subprocess.Popen(command, env=env, **more)
    children.append(child)
    return child


def screen():
    r, w = os.pipe()
    start("Xvfb", "-displayfd", str(w), "-screen", "0", "1280x800x24", "-nolisten", "tcp", pass_fds=[w],
          stderr=subprocess.DEVNULL)
    os.close(w)
    env["DISPLAY"] = ":" + os.fdopen(r).readline().strip()


def configure():
    """What Gajim's assistant would write: one account, its certificate trusted."""
    os.mkdir(home + "/cert_store")
    shutil.copy(cert, home + "/cert_store/localhost")
    account = {
        "active": True, "account_label": "parley", "name": "juliet", "hostname": "localhost", "password": "pw-juliet",
        "savepass": True, "autoconnect": True, "use_custom_host": True, "custom_host": "127.0.0.1",
        "custom_port": int(port), "custom_type": "START TLS",
    }
    app = {"use_keyring": False, "remote_control": True, "check_for_update": False, "ask_online_status": False,
           "confirm_on_window_delete": False}
    db = sqlite3.connect(home + "/settings.sqlite")
    db.executescript("create table settings (name text unique, settings text);"
                     "create table account_settings (account text unique, settings text); pragma user_version=5;")
    for name, value in (("app", app), ("soundevents", {}), ("status_presets", {}), ("proxies", {}), ("plugins", {}),
                        ("workspaces", {"w": {"name": "Chats", "color": "rgb(191,0,64)", "avatar_sha": "", "chats": []}})):
        db.execute("insert into settings values (?, ?)", (name, json.dumps(value)))
    db.execute("insert into account_settings values (?, ?)", ("parley", json.dumps({"account": account, "group_chat": {}, "contact": {}})))
    db.commit()
    db.close()


def gajim(*more):
    # It refuses to run as root, which is what tests in a container are.
    main = "import os, sys; os.geteuid = lambda: 1000; sys.argv = ['gajim'] + sys.argv[1:]; from gajim.gajim import main; main()"
    return start("/usr/bin/python3", "-c", main, "-c", home, *more, stdout=log, stderr=log)


def remote(method, args=None):
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    return bus.call_sync("org.gajim.Gajim", "/org/gajim/dbus/RemoteObject", "org.gajim.dbus.RemoteInterface",
                         method, args, None, Gio.DBusCallFlags.NO_AUTO_START, 2000, None).unpack()


def give_up(why):
    picture("failed")
    log.flush()
    print(open(log.name).read()[-6000:])
    sys.exit("Gajim " + why)


def picture(name):
    subprocess.run(["import", "-window", "root", os.path.join(shots, "gajim-" + name + ".png")], env=env, check=False)


async def until(what, ok, seconds=60):
    """Waits until Gajim says that it is so."""
    last = None
    for _ in range(seconds * 4):
        try:
            last = ok()
            if last is True:
                return
        except GLib.Error as e:
            last = e
        await asyncio.sleep(0.25)
    give_up("does not come to: %s (%s)" % (what, last))


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
    await asyncio.wait_for(c.ready, 20)
    return c


def contacts():
    return {c["jid"]: c for c in remote("list_contacts", GLib.Variant("(s)", ("parley",)))[0]}


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

    gajim()
    await until("log in", lambda: remote("get_status", GLib.Variant("(s)", ("parley",)))[0] == "online")
    await until("show Romeo as online, in his group", lambda: contacts()["romeo@localhost"]["show"] == "online"
                and contacts()["romeo@localhost"]["groups"] == ["Montague"] or contacts())
    await until("get what waited", lambda: int(remote("get_unread_msgs_number")[0]) >= 1 or remote("get_unread_msgs_number"))

    gajim("xmpp:romeo@localhost?message").wait(30)  # opens the chat in the running one
    romeo.send_message("juliet@localhost", "But soft, what light through yonder window breaks?", mtype="chat")
    await asyncio.sleep(1)
    remote("send_chat_message", GLib.Variant("(sss)", ("romeo@localhost", "Ay me!", "parley")))
    try:
        said = await asyncio.wait_for(romeo.said.get(), 20)
    except asyncio.TimeoutError:
        give_up("does not send")
    assert said == "Ay me!", said
    await asyncio.sleep(2)
    picture("chat")
    subprocess.run(["xdotool", "mousemove", "34", "468", "click", "1"], env=env, check=True)  # the own account
    await asyncio.sleep(2)
    picture("roster")
    romeo.send_presence(pshow="away")
    await until("see Romeo go away", lambda: contacts()["romeo@localhost"]["show"] == "away" or contacts())
    romeo.disconnect()
    await until("see Romeo leave", lambda: contacts()["romeo@localhost"]["show"] == "offline" or contacts())
    remote("change_status", GLib.Variant("(sss)", ("offline", "", "parley")))
    await until("log out", lambda: remote("get_status", GLib.Variant("(s)", ("parley",)))[0] == "offline")
    print("ok", flush=True)


log = open(os.path.join(home, "log"), "w")
try:
    os.makedirs(shots, exist_ok=True)
    screen()
    configure()
    asyncio.get_event_loop().run_until_complete(play())
finally:
    for child in reversed(children):
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
    shutil.rmtree(home, ignore_errors=True)

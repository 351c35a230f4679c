"""Gajim itself, in a window on a screen of its own. It is asked and told over D-Bus, and with
keys where that does not reach. Run inside dbus-run-session.
"""
import asyncio
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

from gi.repository import Gio, GLib

ACCOUNT = "parley"


class Window:
    name = "Gajim"
    # Settings of plugins, of which those that Debian brings are active else, and of people whom one writes to.
    plugins, people = {"omemo": {"active": False}}, {}
    before = ""  # what Python does in Gajim's process before it is Gajim

    def __init__(self, port, cert, shots):
        self.port, self.cert, self.shots = port, cert, shots
        self.children, self.homes = [], []
        self.profile({})

    def profile(self, display):
        """A profile in which nothing has been."""
        self.home = tempfile.mkdtemp(prefix=self.name.lower() + "-")
        self.homes.append(self.home)
        self.env = dict(os.environ, HOME=self.home, XDG_RUNTIME_DIR=self.home, XDG_CONFIG_HOME=self.home + "/.config", GDK_BACKEND="x11", NO_AT_BRIDGE="1",
                        LC_ALL="C.UTF-8", GSETTINGS_BACKEND="memory", **display)
        self.log = open(os.path.join(self.home, "log"), "w")

    def play(self, scene):
        """Plays a scene, a coroutine, and clears the stage."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
        try:
            os.makedirs(self.shots, exist_ok=True)
            self.screen()
            self.configure()
            asyncio.get_event_loop().run_until_complete(scene)
        finally:
            for child in reversed(self.children):
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
            for home in self.homes:
                shutil.rmtree(home, ignore_errors=True)

    def renew(self):
        """Forgets all that Gajim has known, but for how to log in."""
        self.profile({"DISPLAY": self.env["DISPLAY"]})
        self.configure()

    def start(self, *command, **more):
        child = subprocess.Popen(command, env=self.env, **more)
        self.children.append(child)
        return child

    def screen(self):
        r, w = os.pipe()
        self.start("Xvfb", "-displayfd", str(w), "-screen", "0", "1280x800x24", "-nolisten", "tcp", pass_fds=[w],
                   stderr=subprocess.DEVNULL)
        os.close(w)
        self.env["DISPLAY"] = ":" + os.fdopen(r).readline().strip()

    def configure(self):
        """What Gajim's assistant would write: one account, its certificate trusted. Nothing moves."""
        os.makedirs(self.home + "/.config/gtk-3.0")
        with open(self.home + "/.config/gtk-3.0/settings.ini", "w") as f:
            f.write("[Settings]\ngtk-enable-animations=0\ngtk-cursor-blink=0\n")
        os.mkdir(self.home + "/cert_store")
        shutil.copy(self.cert, self.home + "/cert_store/localhost")
        account = {
            "active": True, "account_label": ACCOUNT, "name": "juliet", "hostname": "localhost", "password": "pw-juliet",
            "savepass": True, "autoconnect": True, "use_custom_host": True, "custom_host": "127.0.0.1",
            "custom_port": int(self.port), "custom_type": "START TLS",
        }
        app = {"use_keyring": False, "remote_control": True, "check_for_update": False, "ask_online_status": False,
               "confirm_on_window_delete": False}
        db = sqlite3.connect(self.home + "/settings.sqlite")
        db.executescript("create table settings (name text unique, settings text);"
                         "create table account_settings (account text unique, settings text); pragma user_version=5;")
        for name, value in (("app", app), ("soundevents", {}), ("status_presets", {}), ("proxies", {}), ("plugins", self.plugins),
                            ("workspaces", {"w": {"name": "Chats", "color": "rgb(191,0,64)", "avatar_sha": "", "chats": []}})):
            db.execute("insert into settings values (?, ?)", (name, json.dumps(value)))
        db.execute("insert into account_settings values (?, ?)",
                   (ACCOUNT, json.dumps({"account": account, "group_chat": {}, "contact": self.people})))
        db.commit()
        db.close()

    def gajim(self, *more):
        # It refuses to run as root, which is what tests in a container are.
        main = ("import os, sys; os.geteuid = lambda: 1000; sys.argv = ['gajim'] + sys.argv[1:]; " + self.before +
                "from gajim.gajim import main; main()")
        levels = "gajim.c.m.presence=INFO,gajim.gtk.add_contact=DEBUG"
        return self.start("/usr/bin/python3", "-c", main, "-c", self.home, "-l", levels, *more, stdout=self.log, stderr=self.log)

    def call(self, path, interface, method, args=None):
        bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        return bus.call_sync("org.gajim.Gajim", path, interface, method, args, None, Gio.DBusCallFlags.NO_AUTO_START,
                             20000, None).unpack()

    def remote(self, method, args=None):
        return self.call("/org/gajim/dbus/RemoteObject", "org.gajim.dbus.RemoteInterface", method, args)

    async def ended(self, gajim):
        """Waits for one that was started to end by itself."""
        await self.until("quit", lambda: gajim.poll() is not None)

    def act(self, name, *value, where="/org/gajim/Gajim"):
        """Does what a menu entry or a button does; the value is a type and what is of it."""
        args = GLib.Variant("(sava{sv})", (name, [GLib.Variant(*value)] if value else [], {}))
        self.call(where, "org.gtk.Actions", "Activate", args)

    def history(self):
        """What Gajim has noted of conversations, in its order: what, and the archive's id of it."""
        db = sqlite3.connect("file:%s/logs.db?mode=ro" % self.home, uri=True)
        try:
            return db.execute("select message, stanza_id from logs where message is not null order by time, log_line_id").fetchall()
        finally:
            db.close()

    def status(self):
        return self.remote("get_status", GLib.Variant("(s)", (ACCOUNT,)))[0]

    def contacts(self):
        return {c["jid"]: c for c in self.remote("list_contacts", GLib.Variant("(s)", (ACCOUNT,)))[0]}

    def unread(self):
        return int(self.remote("get_unread_msgs_number")[0])

    def say(self, jid, text):
        self.remote("send_chat_message", GLib.Variant("(sss)", (jid, text, ACCOUNT)))

    def change_status(self, status):
        self.remote("change_status", GLib.Variant("(sss)", (status, "", ACCOUNT)))

    def xdotool(self, *args):
        return subprocess.run(["xdotool", *args], env=self.env, check=False, capture_output=True, text=True).stdout

    def keys(self, title, *keys):
        """Types into the window with that title, if it is there."""
        for found in self.xdotool("search", "--onlyvisible", "--name", "^%s$" % title).split():
            self.xdotool("windowfocus", "--sync", found, "key", *keys)

    async def sure(self, title, key):
        """Answers when Gajim asks whether it is meant."""
        await self.until("ask: " + title, lambda: self.has(title))
        await self.insists("have the answer", lambda: not self.has(title), lambda: self.keys(title, key))

    async def insists(self, what, ok, do):
        """Does something until it is so: what comes before a window can hear it is lost."""
        times = itertools.count()

        def done():
            if ok():
                return True
            if next(times) % 30 == 0:  # every three seconds
                do()
        await self.until(what, done)

    def click(self, title, x, y):
        """Clicks into the window with that title, so far from its corner."""
        for found in self.xdotool("search", "--onlyvisible", "--name", "^%s$" % title).split():
            self.xdotool("windowfocus", "--sync", found, "mousemove", "--window", found, str(x), str(y), "click", "1")

    def has(self, title):
        return self.xdotool("search", "--onlyvisible", "--name", "^%s$" % title) != ""

    def logged(self, text):
        """Whether Gajim has logged something."""
        self.log.flush()
        with open(self.log.name) as f:
            return text in f.read()

    def own_page(self):
        """The page of the own account, with the contact list."""
        self.xdotool("mousemove", "34", "468", "click", "1")

    def give_up(self, why):
        self.picture("failed")
        self.log.flush()
        print(open(self.log.name).read()[-6000:])
        sys.exit(self.name + " " + why)

    async def still(self):
        """Waits until what the screen shows has been drawn, which is the same for a while then: a click
        finds its place."""
        before, same = None, 0
        for _ in range(300):
            now = subprocess.run(["import", "-window", "root", "rgb:-"], env=self.env, check=True, capture_output=True).stdout
            same = same + 1 if now == before else 0
            if same == 3:
                return
            before = now
            await asyncio.sleep(0.1)
        self.give_up("does not stop drawing")

    def picture(self, name):
        subprocess.run(["import", "-window", "root", os.path.join(self.shots, self.name.lower() + "-" + name + ".png")], env=self.env, check=False)

    async def until(self, what, ok, seconds=60):
        """Waits until Gajim says that it is so."""
        last = None
        for _ in range(seconds * 10):
            try:
                last = ok()
                if last is True:
                    return
            except GLib.Error as e:
                last = e
            await asyncio.sleep(0.1)
        self.give_up("does not come to: %s (%s)" % (what, last))

    def shown(self, jid, show, *groups):
        """Whether the list has a contact so; where not, what it has."""
        c = self.contacts().get(jid)
        return c is not None and (c["show"], sorted(c["groups"])) == (show, sorted(groups)) or c

    async def adds(self, jid, group):
        """Goes through the pages on which a contact is added: address, then group."""
        await self.until("ask for an address", lambda: self.has("Add Contact"))
        await self.still()
        self.keys("Add Contact", "Return")
        # It asks what that is. A stranger is not told, and Gajim knows the error as a person's.
        await self.until("ask for a group", lambda: self.logged("Error from %s: service-unavailable" % jid))
        await self.still()
        self.click("Add Contact", 304, 227)
        self.xdotool("type", group)
        await self.insists("close that", lambda: not self.has("Add Contact"), lambda: self.click("Add Contact", 390, 356))

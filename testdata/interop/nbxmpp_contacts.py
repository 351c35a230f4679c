"""Two clients made of nbxmpp, the library under Gajim, add each other, accept and deny,
sort into groups, block, write to who is away, and take leave.

Arguments: port, certificate file.
"""
import sys

from gi.repository import Gio, GLib

import nbxmpp
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.protocol import JID, Message, Presence
from nbxmpp.structs import StanzaHandler

port, cert = sys.argv[1:]
loop = GLib.MainContext.default()


def until(what, ok):
    late = []
    timer = GLib.timeout_add_seconds(30, lambda: late.append(True))
    while not ok():
        if late:
            sys.exit("not within 30 s: " + what)
        loop.iteration(True)
    if not late:
        GLib.source_remove(timer)


def answer(task):
    """Waits for the outcome of a request; an error is raised."""
    done = []
    task.add_done_callback(lambda t: done.append(t.get_result()), weak=False)  # it forgets it afterwards
    until("an answer", lambda: done)
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


class Person:
    def __init__(self, user):
        self.user, self.heard, self.pushed = user, [], []
        self.client = c = Client(log_context=user)
        c.set_domain("localhost")
        c.set_username(user)
        c.set_resource("nbxmpp")
        c.set_password("pw-" + user)
        c.set_custom_host("127.0.0.1:" + port, ConnectionProtocol.TCP, ConnectionType.START_TLS)
        c.set_accepted_certificates([Gio.TlsCertificate.new_from_file(cert)])
        self.state = ""
        for event in ("connected", "disconnected", "connection-failed"):
            c.subscribe(event, lambda _c, name, *_: setattr(self, "state", name))
        c.register_handler(StanzaHandler(name="presence", callback=self.presence, priority=60))
        c.register_handler(StanzaHandler(name="message", callback=self.message, priority=60))
        c.register_handler(StanzaHandler(name="iq", callback=self.push, typ="set", ns=nbxmpp.Namespace.ROSTER, priority=25))

    def __getattr__(self, module):
        return self.client.get_module(module)

    def comes(self):
        self.client.connect()
        until(self.user + " logs in", lambda: self.state == "connected")
        self.roster = {str(i.jid): i for i in answer(self.Roster.request_roster()).items}
        self.client.send_stanza(Presence())
        until(self.user + " is there", lambda: ("available", self.jid()) in self.heard)
        return self

    def leaves(self):
        self.client.disconnect()
        until(self.user + " is gone", lambda: self.state == "disconnected")

    def jid(self):
        return self.user + "@localhost/nbxmpp"

    def presence(self, _client, _stanza, properties):
        self.heard.append((properties.type.value or "available", str(properties.jid)))

    def message(self, _client, stanza, properties):
        kind = "error " + stanza.getErrorMsg() if properties.type.is_error else "message"
        self.heard.append((kind, stanza.getBody(), bool(stanza.getTag("delay", namespace=nbxmpp.Namespace.DELAY2))))
        self.errors = [t.getName() for t in stanza.getTag("error").getChildren()] if properties.type.is_error else []

    def push(self, _client, _stanza, properties):
        item = properties.roster.item
        self.pushed.append((str(item.jid), item.subscription, item.ask, sorted(item.groups)))

    def hears(self, *what):
        until("%s hears %r" % (self.user, what), lambda: what in self.heard)
        self.heard.remove(what)

    def listed(self, *what):
        until("%s's roster gets %r; there is %r" % (self.user, what, self.pushed), lambda: what in self.pushed)
        self.pushed.clear()

    def quiet(self, *what):
        answer(self.Ping.ping(JID.from_string("localhost")))
        assert what not in self.heard, (self.user, what)


romeo, juliet = Person("romeo").comes(), Person("juliet").comes()
R, J = JID.from_string("romeo@localhost"), JID.from_string("juliet@localhost")

# She is denied, asks again, and is accepted; and he asks back.
juliet.BasePresence.subscribe(R)
juliet.listed("romeo@localhost", "none", "subscribe", [])
romeo.hears("subscribe", "juliet@localhost")
romeo.BasePresence.unsubscribed(J)
juliet.hears("unsubscribed", "romeo@localhost")
juliet.listed("romeo@localhost", "none", None, [])
juliet.BasePresence.subscribe(R)
romeo.hears("subscribe", "juliet@localhost")
romeo.BasePresence.subscribed(J)
juliet.hears("subscribed", "romeo@localhost")
juliet.hears("available", "romeo@localhost/nbxmpp")
juliet.listed("romeo@localhost", "to", None, [])
romeo.BasePresence.subscribe(J)
juliet.hears("subscribe", "romeo@localhost")
juliet.BasePresence.subscribed(R)
romeo.hears("available", "juliet@localhost/nbxmpp")
romeo.listed("juliet@localhost", "both", None, [])

# A name and groups, seen by the same account at its next login.
juliet.pushed.clear()
answer(juliet.Roster.set_item(R, "Romeo", ["Montague", "Poets"]))
juliet.listed("romeo@localhost", "both", None, ["Montague", "Poets"])

# What waits comes with its time, in order.
juliet.leaves()
romeo.hears("unavailable", "juliet@localhost/nbxmpp")
for n in range(3):
    romeo.client.send_stanza(Message(to=J, body="wait %d" % n, typ="chat"))
romeo.quiet("never")
juliet = Person("juliet").comes()
assert juliet.roster["romeo@localhost"].name == "Romeo", juliet.roster
assert sorted(juliet.roster["romeo@localhost"].groups) == ["Montague", "Poets"], juliet.roster
for n in range(3):
    juliet.hears("message", "wait %d" % n, True)
romeo.hears("available", "juliet@localhost/nbxmpp")
juliet.hears("available", "romeo@localhost/nbxmpp")

# Blocked: gone for him, nothing passes, and back again.
answer(juliet.Blocking.block([R]))
romeo.hears("unavailable", "juliet@localhost/nbxmpp")
romeo.client.send_stanza(Message(to=J, body="?", typ="chat"))
until("romeo is refused", lambda: any(h[0].startswith("error") for h in romeo.heard))
assert "service-unavailable" in romeo.errors, romeo.errors
assert R in answer(juliet.Blocking.request_blocking_list())
answer(juliet.Blocking.unblock([R]))
romeo.hears("available", "juliet@localhost/nbxmpp")
romeo.client.send_stanza(Message(to=J, body="again", typ="chat"))
juliet.hears("message", "again", False)
juliet.quiet("message", "?", False)

# Removed on one side, it ends on both.
juliet.pushed.clear()
answer(juliet.Roster.delete_item(R))
juliet.listed("romeo@localhost", "remove", None, [])
romeo.hears("unsubscribe", "juliet@localhost")
romeo.hears("unsubscribed", "juliet@localhost")
romeo.hears("unavailable", "juliet@localhost/nbxmpp")
romeo.listed("juliet@localhost", "none", None, [])
romeo.leaves()
juliet.leaves()
print("ok", flush=True)

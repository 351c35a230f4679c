"""A client made of nbxmpp, the library under Gajim, loses its connection again and again, and
goes on with its session (XEP-0198): what is said meanwhile arrives once and in order.

Arguments: port, certificate file.
"""
import sys

from gi.repository import Gio, GLib

from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.protocol import JID, Message, Presence
from nbxmpp.structs import StanzaHandler

from cutting import Wire

port, cert = sys.argv[1:]
loop = GLib.MainContext.default()


def until(what, ok):
    late = []
    timer = GLib.timeout_add_seconds(30, lambda: late.append(True))
    while not ok():
        if late:
            sys.exit("not within 30 s: " + what)
        loop.iteration(True)
    GLib.source_remove(timer)


class Person:
    def __init__(self, user, port):
        self.heard, self.states = [], []
        self.client = c = Client(log_context=user)
        c.set_domain("localhost")
        c.set_username(user)
        c.set_resource("nbxmpp")
        c.set_password("pw-" + user)
        c.set_custom_host("127.0.0.1:%s" % port, ConnectionProtocol.TCP, ConnectionType.START_TLS)
        c.set_accepted_certificates([Gio.TlsCertificate.new_from_file(cert)])
        for event in ("connected", "disconnected", "connection-failed", "resume-successful", "resume-failed"):
            c.subscribe(event, lambda _c, name, *_: self.states.append(name))
        c.register_handler(StanzaHandler(name="message", callback=self.message, priority=60))
        c.register_handler(StanzaHandler(name="presence", callback=self.presence, priority=60))

    def message(self, _client, stanza, _properties):
        self.heard.append(stanza.getBody())

    def presence(self, _client, stanza, _properties):
        if stanza.getType() == "unavailable":
            self.heard.append("gone")

    def comes(self):
        self.client.connect()
        until("login: %r" % self.states, lambda: "connected" in self.states)
        self.client.send_stanza(Presence())

    def says(self, to, body):
        self.client.send_stanza(Message(to=JID.from_string(to + "@localhost/nbxmpp"), typ="chat", body=body))


wire = Wire(port)
juliet, romeo = Person("juliet", wire.port), Person("romeo", port)
juliet.comes()
romeo.comes()
juliet.client.send_stanza(Presence(to=JID.from_string("romeo@localhost/nbxmpp")))
said, want, back = 0, [], []


def talk():
    global said
    for _ in range(3):
        romeo.says("juliet", str(said))
        want.append(str(said))
        said += 1


for round in range(1, 5):
    talk()
    until("the messages of round %d: %r" % (round, juliet.heard), lambda: juliet.heard == want)
    juliet.says("romeo", "back %d" % round)
    back.append("back %d" % round)
    until("the answer: %r" % romeo.heard, lambda: romeo.heard == back)
    juliet.states.clear()
    wire.cut()
    until("the loss of the connection: %r" % juliet.states, lambda: "disconnected" in juliet.states)
    talk()
    juliet.client.connect()
    until("resumption %d: %r" % (round, juliet.states), lambda: "resume-successful" in juliet.states)
until("all messages: %r" % juliet.heard, lambda: len(juliet.heard) >= len(want))
talk()
until("the last ones: %r" % juliet.heard, lambda: len(juliet.heard) >= len(want))
assert juliet.heard == want, juliet.heard
juliet.client.disconnect()
until("romeo sees juliet go: %r" % romeo.heard, lambda: romeo.heard == back + ["gone"])
romeo.client.disconnect()
until("romeo goes", lambda: "disconnected" in romeo.states)
print("ok", flush=True)

"""A client made of nbxmpp, the library under Gajim, reads its archive page by page as Gajim
does, says what is archived, sees what its other device does, and says that nobody looks.

Arguments: port, certificate file.
"""
import sys
from datetime import datetime, timedelta, timezone

from gi.repository import Gio, GLib

from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.errors import StanzaError
from nbxmpp.namespaces import Namespace
from nbxmpp.protocol import JID, Iq, Message, Node, Presence
from nbxmpp.structs import StanzaHandler

port, cert = sys.argv[1:]
loop = GLib.MainContext.default()
R, J, N = (JID.from_string(user + "@localhost") for user in ("romeo", "juliet", "nurse"))


def until(what, ok):
    late = []
    timer = GLib.timeout_add_seconds(30, lambda: late.append(True))
    while not ok():
        if late:
            sys.exit("not within 30 s: " + what)
        loop.iteration(True)
    GLib.source_remove(timer)


def answer(task):
    """Waits for the outcome of a request; an error is raised."""
    done = []

    def take(t):
        try:
            done.append(t.finish())
        except StanzaError as e:
            done.append(e)

    task.add_done_callback(take, weak=False)
    until("an answer", lambda: done)
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


class Person:
    def __init__(self, user, resource):
        self.heard, self.archive, self.states = [], [], []
        self.client = c = Client(log_context=user + resource)
        c.set_domain("localhost")
        c.set_username(user)
        c.set_resource(resource)
        c.set_password("pw-" + user)
        c.set_custom_host("127.0.0.1:%s" % port, ConnectionProtocol.TCP, ConnectionType.START_TLS)
        c.set_accepted_certificates([Gio.TlsCertificate.new_from_file(cert)])
        for event in ("connected", "disconnected", "connection-failed"):
            c.subscribe(event, lambda _c, name, *_: self.states.append(name))
        c.register_handler(StanzaHandler(name="message", callback=self.message, priority=60))
        c.register_handler(StanzaHandler(name="presence", callback=self.presence, priority=60))

    def __getattr__(self, module):
        return self.client.get_module(module)

    def message(self, _client, stanza, properties):
        if properties.is_mam_message:
            self.archive.append((properties.mam.id, stanza.getBody()))
        elif properties.body or properties.chatstate:
            way = properties.carbon.type if properties.carbon else "message"
            ids = {s.id for s in properties.stanza_ids if s.by == self.client.get_bound_jid().bare}
            self.heard.append((way, properties.body or properties.chatstate.value, ids))

    def presence(self, _client, stanza, _properties):
        if stanza.getFrom() != self.client.get_bound_jid():
            self.heard.append(("presence", stanza.getShow() or stanza.getType() or "available", set()))

    def comes(self):
        self.client.connect()
        until("login: %r" % self.states, lambda: "connected" in self.states)
        self.client.send_stanza(Presence())
        return self

    def leaves(self):
        self.client.disconnect()
        until("leaving", lambda: "disconnected" in self.states)

    def settled(self):
        answer(self.Ping.ping(JID.from_string("localhost")))

    def says(self, to, body):
        self.client.send_stanza(Message(to=to, typ="chat", body=body))

    def hears(self, way, what):
        until("hearing %s %s: %r" % (way, what, self.heard), lambda: any(h[:2] == (way, what) for h in self.heard))
        return next(h[2] for h in self.heard if h[:2] == (way, what))

    def asks(self, **query):
        self.archive.clear()
        return answer(self.MAM.make_query(J.bare, queryid="q", **query))


romeo, desk, nurse = Person("romeo", "r").comes(), Person("juliet", "desk").comes(), Person("nurse", "n").comes()
said = []
for n in range(120):
    if n == 60:
        for who in (romeo, desk, nurse):
            who.settled()
    who, to = (nurse, J) if n % 10 == 0 else (romeo, J) if n % 2 else (desk, R)
    who.says(to, "line %d" % n)
    who.settled()
    said.append("line %d" % n)

# As Gajim catches up: everything of the last week, and on from the last one.
week = datetime.now(timezone.utc) - timedelta(days=7)
got, sizes, page = [], [], None
while page is None or not page.complete:
    page = desk.asks(start=week, max_=50, after=page and page.rsm.last)
    got += desk.archive
    sizes.append(len(desk.archive))
assert [b for _, b in got] == said and sizes == [50, 50, 20], (sizes, got)
assert len({i for i, _ in got}) == 120, got
assert (page.rsm.last, page.rsm.count) == (got[-1][0], 120), page
# nbxmpp 4.2.2 cannot ask for one peer: it fails where it makes the field.
assert desk.asks(start=week + timedelta(days=8)).complete and desk.archive == [], desk.archive
page = desk.asks(max_=0)  # how many there are
assert page.rsm.count == 120 and desk.archive == [], page
try:
    desk.asks(after="nothing")
    sys.exit("an id that is not there is no error")
except StanzaError as e:
    assert e.condition == "item-not-found", e  # Gajim begins again then

# What is archived (XEP-0441).
prefs = answer(desk.MAM.request_preferences())
assert (prefs.default, prefs.always, prefs.never) == ("always", [], []), prefs
answer(desk.MAM.set_preferences("roster", [N.bare], [R.bare]))
prefs = answer(desk.MAM.request_preferences())
assert (prefs.default, prefs.always, prefs.never) == ("roster", [N], [R]), prefs
romeo.says(J, "off the record")
desk.hears("message", "off the record")
assert desk.asks(max_=0).rsm.count == 120
answer(desk.MAM.set_preferences("always", [], []))

# A second device, with copies: whatever either says or hears has the same id for both and
# for the archive, so that nothing is shown twice.
phone = Person("juliet", "phone").comes()
for who in (desk, phone):
    iq = Iq("set")
    iq.addChild("enable", namespace=Namespace.CARBONS)
    answer_of = []
    who.client.send_stanza(iq, callback=lambda _c, st, box=answer_of: box.append(st.getType()))
    until("carbons", lambda: answer_of == ["result"])
romeo.says(JID.from_string("juliet@localhost/desk"), "to the desk")
ids = [desk.hears("message", "to the desk"), phone.hears("received", "to the desk")]
desk.says(R, "from the desk")
ids.append(phone.hears("sent", "from the desk"))
romeo.hears("message", "from the desk")
phone.asks(start=week, max_=250)
names = {body: i for i, body in phone.archive}
assert ids == [{names["to the desk"]}, {names["to the desk"]}, {names["from the desk"]}], (ids, names)
assert len([b for _, b in phone.archive if b in ("to the desk", "from the desk")]) == 2, phone.archive

# Nobody looks at the phone (XEP-0352). nbxmpp has no function of its own for it.
desk.settled()
desk.leaves()
phone.hears("presence", "unavailable")
phone.heard.clear()
phone.client.send_nonza(Node("inactive", attrs={"xmlns": "urn:xmpp:csi:0"}))
phone.settled()
for show in ("away", "dnd"):
    romeo.client.send_stanza(Presence(to=JID.from_string("juliet@localhost/phone"), show=show))
state = Message(to=JID.from_string("juliet@localhost/phone"), typ="chat")
state.addChild("composing", namespace=Namespace.CHATSTATES)
romeo.client.send_stanza(state)
romeo.settled()
assert phone.heard == [], phone.heard
romeo.says(JID.from_string("juliet@localhost/phone"), "look")
phone.hears("message", "look")
assert [h[:2] for h in phone.heard] == [("presence", "dnd"), ("message", "composing"), ("message", "look")], phone.heard

for who in (romeo, nurse, phone):
    who.leaves()
print("ok", flush=True)

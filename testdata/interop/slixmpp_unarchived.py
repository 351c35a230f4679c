"""Two slixmpp clients on a server that archives nothing: juliet with stream management (XEP-0198),
romeo without, who answers pings. Each tells the other many lines; all come, once and in order. In
the end it tells how many came late to juliet and to romeo: the machine may have much else to do.

Arguments: port, certificate file, number of lines.
"""
import asyncio
import sys
import time

from slixmpp_person import Person

port, cert, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
LATE = 0.03  # seconds, of the 0.1 that the server waits for who is to say that it has a line
said = {}


class Hearer(Person):
    late = 0

    def told(self, m):
        self.late += time.monotonic() - said[m["body"]] > LATE
        super().told(m)

    def says(self, to, line):
        said[line] = time.monotonic()
        self.send_message(to, line, mtype="chat")


async def main():
    juliet = await Hearer("juliet", "balcony", port, cert, plugins=("xep_0198",)).comes()
    romeo = await Hearer("romeo", "orchard", port, cert).comes()
    for n in range(many):
        juliet.says("romeo@localhost", "juliet says line %d." % n)
        romeo.says("juliet@localhost", "romeo says line %d." % n)
        await asyncio.sleep(0.01)
    for who, other in ((juliet, "romeo"), (romeo, "juliet")):
        await who.waits(who.heard, ("message", "%s says line %d." % (other, many - 1), False))
        got = [h[1] for h in who.heard if h[0] == "message"]
        assert got == ["%s says line %d." % (other, n) for n in range(many)], got
    await juliet.leaves()
    await romeo.leaves()
    print("ok", juliet.late, romeo.late, flush=True)


asyncio.get_event_loop().run_until_complete(main())

"""Two slixmpp clients on a server that archives nothing: juliet with stream management (XEP-0198),
romeo without, who answers pings. Each tells the other many lines; all come, once and in order.

Arguments: port, certificate file, number of lines.
"""
import asyncio
import sys

from slixmpp_person import Person

port, cert, many = sys.argv[1], sys.argv[2], int(sys.argv[3])


async def main():
    juliet = await Person("juliet", "balcony", port, cert, plugins=("xep_0198",)).comes()
    romeo = await Person("romeo", "orchard", port, cert).comes()
    for n in range(many):
        juliet.send_message("romeo@localhost", "juliet says line %d." % n, mtype="chat")
        romeo.send_message("juliet@localhost", "romeo says line %d." % n, mtype="chat")
        await asyncio.sleep(0.01)
    for who, other in ((juliet, "romeo"), (romeo, "juliet")):
        await who.waits(who.heard, ("message", "%s says line %d." % (other, many - 1), False))
        got = [h[1] for h in who.heard if h[0] == "message"]
        assert got == ["%s says line %d." % (other, n) for n in range(many)], got
    await juliet.leaves()
    await romeo.leaves()
    print("ok", flush=True)


asyncio.get_event_loop().run_until_complete(main())

"""Two slixmpp clients find the server's file proxy and send each other bytes through it, with
slixmpp's own XEP-0065.

Arguments: port, certificate file.
"""
import asyncio
import hashlib
import os
import sys

from slixmpp_person import Person

port, cert = sys.argv[1:]


async def main():
    juliet = await Person("juliet", "balcony", port, cert, plugins=("xep_0065",)).comes()
    romeo = await Person("romeo", "orchard", port, cert, plugins=("xep_0065",)).comes()
    for p in (juliet, romeo):
        await p["xep_0030"].get_info("localhost")
    for a, b in ((juliet, romeo), (romeo, juliet)):
        a.send_presence(pto=b.boundjid)  # who asks a device must be shown that it is there
        await b.has("available", str(a.boundjid))
    romeo["xep_0065"].auto_accept = True
    got, done = bytearray(), asyncio.get_event_loop().create_future()
    file = os.urandom(3_000_000)

    def data(d):
        got.extend(d)
        if len(got) >= len(file) and not done.done():
            done.set_result(None)

    romeo.add_event_handler("socks5_data", data)
    # What the plugin does by itself where Python is older than 3.11: it knows the proxies.
    proxies = await juliet["xep_0065"].discover_proxies("localhost")
    if [str(j) for j in proxies] != ["proxy.localhost"]:
        sys.exit("proxies: %r" % proxies)
    sock = await juliet["xep_0065"].handshake(romeo.boundjid, sid="a-file", timeout=30)
    if sock is None:
        sys.exit("no stream")
    for i in range(0, len(file), 65536):
        await sock.write(file[i:i + 65536])
    await asyncio.wait_for(done, 30)
    if hashlib.sha256(got).digest() != hashlib.sha256(file).digest():
        sys.exit("%d bytes came, and others than were sent" % len(got))
    closed = asyncio.get_event_loop().create_future()
    romeo.add_event_handler("socks5_closed", lambda _: closed.done() or closed.set_result(None))
    sock.transport.close()  # the plugin's own close fails in 1.8.3
    await asyncio.wait_for(closed, 30)
    for p in (juliet, romeo):
        await p.leaves()
    print("ok")


asyncio.get_event_loop().run_until_complete(main())

"""A slixmpp client uploads files with its own XEP-0363, and another one fetches them.

Arguments: port, certificate file. SSL_CERT_FILE names the certificate, too: for HTTP.
"""
import asyncio
import io
import sys

import aiohttp
from slixmpp.plugins.xep_0363 import FileTooBig

from slixmpp_person import Person

port, cert = sys.argv[1:]


async def finds(me):
    """Finds the service as the plugin does by itself where Python is older than 3.11, by its identity."""
    for item in (await me["xep_0030"].get_items("localhost"))["disco_items"]["items"]:
        info = await me["xep_0030"].get_info(item[0])
        about = info["disco_info"]
        if any(i[:2] == ("store", "file") for i in about["identities"]) and "urn:xmpp:http:upload:0" in about["features"]:
            me["xep_0363"].upload_service = info["from"]
            for form in about.iterables:
                me["xep_0363"].max_file_size = int(form["values"]["max-file-size"])


async def main():
    juliet = await Person("juliet", "balcony", port, cert, plugins=("xep_0363",)).comes()
    romeo = await Person("romeo", "orchard", port, cert).comes()
    await finds(juliet)
    for name, text, typ in (("très cool.png", b"\x89PNG" + bytes(70000), "image/png"), ("notes.txt", b"O", None), ("../a b?c#d.svg", b"<svg/>", "image/svg+xml")):
        url = await juliet["xep_0363"].upload_file(name, content_type=typ, input_file=io.BytesIO(text), timeout=30)
        juliet.send_message("romeo@localhost", url, mtype="chat")
        await romeo.hears("message", url, False)
        async with aiohttp.ClientSession() as http, http.get(url) as got:
            if got.status != 200 or await got.read() != text:
                sys.exit("%s: %s" % (url, got.status))
            if typ and got.content_type != typ or ("attachment" in got.headers["Content-Disposition"]) != (typ != "image/png" and name != "notes.txt") and name != "notes.txt":
                sys.exit("%s: %r" % (url, got.headers))
    try:
        await juliet["xep_0363"].upload_file("large", size=1 << 40, input_file=io.BytesIO(b""))
        sys.exit("a file of 1 TiB is taken")
    except FileTooBig:
        pass
    for p in (juliet, romeo):
        await p.leaves()
    print("ok")


asyncio.get_event_loop().run_until_complete(main())

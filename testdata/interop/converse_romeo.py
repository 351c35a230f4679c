"""Romeo, with slixmpp, for whom the web client is a stranger. Arguments: port, certificate, done.
He wants to see whoever wants to see him, answers what he is told, and comes into the room that he
is told of. He ends when the file `done` is there, and says what he has heard."""
import asyncio
import os
import sys

import slixmpp


class Romeo(slixmpp.ClientXMPP):
    def __init__(self, port, cert, done):
        super().__init__("romeo@localhost/balcony", "pw-romeo")
        self.ca_certs, self.port, self.done = cert, int(port), done
        for plugin in ("xep_0030", "xep_0045", "xep_0066", "xep_0115", "xep_0199", "xep_0249", "xep_0280"):
            self.register_plugin(plugin)
        self.roster.auto_authorize = self.roster.auto_subscribe = True
        self.heard, self.room = [], None
        self.add_event_handler("session_start", self.comes)
        self.add_event_handler("message", self.told)
        self.add_event_handler("groupchat_message", self.told_all)

    async def comes(self, _):
        await self.get_roster()
        self.send_presence()
        print("there", flush=True)

    def told(self, m):
        if m["type"] not in ("chat", "normal") or not m["body"]:
            return
        body = m["body"]
        self.heard.append(body)
        if body.startswith("come to "):
            self.room = body.removeprefix("come to ")
            asyncio.ensure_future(self.plugin["xep_0045"].join_muc_wait(self.room, "Romeo"))
        elif m["oob"]["url"]:
            self.heard.append("a picture")
            m.reply("What a picture!").send()
        else:
            m.reply("You said: " + body).send()

    def told_all(self, m):
        if self.room and m["mucnick"] != "Romeo" and m["body"] and m["from"].resource:
            self.heard.append(m["body"])
            self.send_message(mto=self.room, mbody="To all: " + m["body"], mtype="groupchat")


async def main():
    romeo = Romeo(*sys.argv[1:])
    romeo.connect(("127.0.0.1", romeo.port))
    for _ in range(1200):
        if os.path.exists(romeo.done):
            break
        await asyncio.sleep(0.1)
    romeo.disconnect()
    print("heard", *romeo.heard, sep="\n")


asyncio.get_event_loop().run_until_complete(main())

// Clients of @xmpp/client meet in a room, talk, and stay in it when the connection of one breaks
// and it goes on with its session (XEP-0198). Arguments: port, certificate file, name of the
// server.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
// 0.14 sees a refusal that is there before its own request has been written as nobody's.
process.on('unhandledRejection', () => {})
const net = await import('node:net')
const { client, xml } = await import('@xmpp/client')

const [port, , server] = process.argv.slice(2)
const room = `balcony-${process.pid}@conference.localhost`
const MUC = 'http://jabber.org/protocol/muc'
const ends = []
const wire = net.createServer((here) => {
  const there = net.connect(Number(port), '127.0.0.1')
  ends.push(here, there)
  for (const [a, b] of [[here, there], [there, here]]) {
    a.on('error', () => {})
    a.pipe(b)
  }
})
await new Promise((resolve) => wire.listen(0, '127.0.0.1', resolve))

const people = []
const fail = (...what) => {
  console.log(...what)
  for (const p of people) console.log(p.name, 'has heard', p.heard.join('\n'))
  process.exit(1)
}
setTimeout(() => fail('too slow'), 100000)
const until = async (ok) => { while (!ok()) await new Promise((resolve) => setTimeout(resolve, 20)) }

class Person {
  constructor (name, at) {
    this.name = name
    this.heard = []
    this.c = client({ service: `xmpp://127.0.0.1:${at}`, domain: 'localhost', username: name, password: 'pw-' + name })
    this.c.on('error', () => {})
    this.c.on('stanza', (s) => { if (s.attrs.from?.startsWith(room)) this.heard.push(s) })
    people.push(this)
  }

  async comes () {
    await this.c.start()
    await until(() => this.c.streamManagement.enabled) // 0.14 counts what comes before that
    await this.c.send(xml('presence'))
    return this
  }

  // Waits for a stanza of the room, and forgets it and what came before it.
  async hears (fits) {
    await until(() => this.heard.some(fits))
    const n = this.heard.findIndex(fits)
    return this.heard.splice(0, n + 1)[n]
  }

  enters () {
    return this.c.send(xml('presence', { to: `${room}/${this.name}` }, xml('x', MUC, xml('history', { maxstanzas: '20' }))))
  }

  says (body) {
    return this.c.send(xml('message', { to: room, type: 'groupchat', id: body }, xml('body', {}, body)))
  }

  ask (type, to, ...payload) {
    return this.c.iqCaller.request(xml('iq', { type, to }, ...payload))
  }
}

const codes = (s) => (s.getChild('x', MUC + '#user')?.getChildren('status') ?? []).map((c) => c.attrs.code)
const isIn = (nick) => (s) => s.is('presence') && s.attrs.from === `${room}/${nick}` && !s.attrs.type
const isOut = (nick) => (s) => s.is('presence') && s.attrs.from === `${room}/${nick}` && s.attrs.type === 'unavailable'
const self = (s) => s.is('presence') && codes(s).includes('110')
const said = (nick, body) => (s) => s.is('message') && s.attrs.from === `${room}/${nick}` && s.attrs.type === 'groupchat' && s.getChildText('body') === body
const bodies = (p) => p.heard.filter((s) => s.is('message') && s.attrs.type === 'groupchat').map((s) => s.getChildText('body')).filter(Boolean)

const juliet = new Person('juliet', wire.address().port)
const romeo = new Person('romeo', port)
await juliet.comes()
await romeo.comes()

// Romeo has the room: what @xmpp/client asks is not counted, see xmppjs_resume.mjs.
await romeo.enters()
if (!codes(await romeo.hears(self)).includes('201')) fail('the room is not new')
await romeo.ask('set', room, xml('query', MUC + '#owner', xml('x', { xmlns: 'jabber:x:data', type: 'submit' })))
await romeo.says('He jests at scars')
await romeo.hears(said('romeo', 'He jests at scars'))
await juliet.enters()
await juliet.hears(isIn('romeo'))
await juliet.hears(self)
const old = await juliet.hears(said('romeo', 'He jests at scars'))
if (!old.getChild('delay', 'urn:xmpp:delay')) fail('not told that it was said before', old.toString())
await juliet.hears((s) => s.is('message') && s.getChild('subject'))
await romeo.hears(isIn('juliet'))

// The connection breaks again and again: nobody sees her go, and she misses nothing.
let resumed = 0
juliet.c.streamManagement.on('resumed', () => { resumed++ })
let n = 0
for (let round = 1; round <= 3; round++) {
  await juliet.says('Ay me ' + round)
  await romeo.hears(said('juliet', 'Ay me ' + round))
  await juliet.hears(said('juliet', 'Ay me ' + round))
  const lost = new Promise((resolve) => juliet.c.once('disconnect', resolve))
  for (const end of ends.splice(0)) end.destroy()
  await lost
  const want = []
  for (let i = 0; i < 5; i++) {
    want.push('line ' + n++)
    await romeo.says(want.at(-1))
    await romeo.hears(said('romeo', want.at(-1)))
  }
  await until(() => resumed === round)
  await until(() => bodies(juliet).length >= want.length)
  await new Promise((resolve) => setTimeout(resolve, 100))
  if (bodies(juliet).join() !== want.join()) fail('she should have heard', want)
  if (romeo.heard.some(isOut('juliet'))) fail('she was seen to go')
  juliet.heard.length = 0
}

// She is still in, and whoever is not is told so (XEP-0410).
await romeo.ask('get', `${room}/romeo`, xml('ping', 'urn:xmpp:ping'))
await juliet.says('Good night')
await romeo.hears(said('juliet', 'Good night'))
await juliet.c.stop()
await romeo.hears(isOut('juliet'))
await romeo.c.send(xml('presence', { to: `${room}/romeo`, type: 'unavailable' }))
await romeo.hears((s) => isOut('romeo')(s) && codes(s).includes('110'))
const err = await romeo.ask('get', `${room}/romeo`, xml('ping', 'urn:xmpp:ping')).then(() => 'none', (e) => e.condition)
// Elsewhere the room has gone with the last one who was in it.
if (err !== (server === 'parley' ? 'not-acceptable' : 'item-not-found')) fail('an answer to who is out:', err)
await romeo.c.stop()
wire.close()
console.log('ok')
process.exit(0)

// A client of @xmpp/client loses its connection and goes on with its session (XEP-0198): what
// is said meanwhile, to it, arrives once and in order. Arguments: port.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
const net = await import('node:net')
const { client, xml } = await import('@xmpp/client')

const port = Number(process.argv[2])
const ends = []
const wire = net.createServer((here) => {
  const there = net.connect(port, '127.0.0.1')
  ends.push(here, there)
  for (const [a, b] of [[here, there], [there, here]]) {
    a.on('error', () => {})
    a.pipe(b)
  }
})
await new Promise((resolve) => wire.listen(0, '127.0.0.1', resolve))

const fail = (...what) => { console.log(...what); process.exit(1) }
setTimeout(() => fail('too slow', heard, answers), 100000)
const make = (name, at) => {
  const c = client({ service: `xmpp://127.0.0.1:${at}`, domain: 'localhost', username: name, password: 'pw-' + name })
  c.on('error', () => {})
  return c
}
const juliet = make('juliet', wire.address().port)
const romeo = make('romeo', port)
const heard = []
const answers = []
let resumed = 0
const note = (list) => (s) => { if (s.is('message') && s.getChildText('body')) list.push(s.getChildText('body')) }
juliet.on('stanza', note(heard))
romeo.on('stanza', note(answers))
juliet.streamManagement.on('resumed', () => { resumed++ })
const until = async (ok) => { while (!ok()) await new Promise((resolve) => setTimeout(resolve, 20)) }
const ping = (c) => c.iqCaller.request(xml('iq', { type: 'get', to: 'localhost' }, xml('ping', 'urn:xmpp:ping')))
const say = (c, to, body) => c.send(xml('message', { to, type: 'chat' }, xml('body', {}, body)))

const j = (await juliet.start()).toString()
const r = (await romeo.start()).toString()
await juliet.send(xml('presence'))
await romeo.send(xml('presence'))
await until(() => juliet.streamManagement.enabled)
// No request of hers before the end: 0.14 does not count the answers, and is then sent again
// as many stanzas as it believes not to have got.
let said = 0
const want = []
const back = []
for (let round = 1; round <= 3; round++) {
  for (let i = 0; i < 3; i++) { want.push(String(said)); await say(romeo, j, String(said++)) }
  await until(() => heard.length >= want.length)
  back.push('back ' + round)
  await say(juliet, r, 'back ' + round)
  await until(() => answers.length >= back.length)
  const lost = new Promise((resolve) => juliet.once('disconnect', resolve))
  for (const end of ends.splice(0)) end.destroy()
  await lost
  for (let i = 0; i < 3; i++) { want.push(String(said)); await say(romeo, j, String(said++)) }
  await ping(romeo)
  await until(() => resumed === round)
}
await until(() => heard.length >= want.length)
await ping(juliet)
await ping(romeo)
if (heard.join() !== want.join() || answers.join() !== back.join()) fail('heard', heard, answers)
await juliet.stop()
await romeo.stop()
wire.close()
console.log('ok')
process.exit(0)

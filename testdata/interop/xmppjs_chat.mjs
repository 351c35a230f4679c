// Two clients of @xmpp/client log in and talk to each other. Arguments: port.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
const { client, xml } = await import('@xmpp/client')

const port = process.argv[2]
const make = (username, password) =>
  client({ service: `xmpp://127.0.0.1:${port}`, domain: 'localhost', username, password })
const juliet = make('juliet', 'pw-juliet')
const romeo = make('romeo', 'pw-romeo')
for (const c of [juliet, romeo]) c.on('error', (err) => { console.log('error', err.message); process.exit(1) })

const hears = (c) => new Promise((resolve) => c.on('stanza', (s) => {
  if (s.is('message') && s.getChildText('body')) resolve([s.attrs.from, s.getChildText('body')])
}))
const check = (got, from, body) => {
  if (got[0] !== from || got[1] !== body) { console.log('heard', got); process.exit(1) }
}
setTimeout(() => { console.log('too slow'); process.exit(1) }, 100000)

const j = await juliet.start()
const r = await romeo.start()
const julietHears = hears(juliet)
const romeoHears = hears(romeo)
await juliet.send(xml('presence'))
await romeo.send(xml('presence'))
await romeo.iqCaller.request(xml('iq', { type: 'get', to: 'localhost' }, xml('ping', 'urn:xmpp:ping')))
await juliet.send(xml('message', { to: 'romeo@localhost', type: 'chat' }, xml('body', {}, 'Good night <&>')))
check(await romeoHears, j.toString(), 'Good night <&>')
await romeo.send(xml('message', { to: j.toString(), type: 'chat' }, xml('body', {}, 'Sleep dwell upon thine eyes')))
check(await julietHears, r.toString(), 'Sleep dwell upon thine eyes')
await juliet.stop()
await romeo.stop()
console.log('ok')
process.exit(0)

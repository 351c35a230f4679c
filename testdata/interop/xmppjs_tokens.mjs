// A client of @xmpp/client is given a token, and comes back with it and without the password
// (XEP-0484); it sees itself among the clients of its account (XEP-0494). Nobody else gets in with
// the token. Arguments: port.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
const { client, xml } = await import('@xmpp/client')

const port = process.argv[2]
const fail = (...what) => { console.log(...what); process.exit(1) }
setTimeout(() => fail('too slow'), 100000)

const agent = (id) => xml('user-agent', { id }, xml('software', {}, 'xmpp.js'), xml('device', {}, 'a test'))
const mine = agent('d4565fa7-4d72-4749-b3d3-740edbf87770')
const other = agent('d4565fa7-4d72-4749-b3d3-740edbf87771')
const make = (credentials, userAgent) => {
  const c = client({ service: `xmpp://127.0.0.1:${port}`, domain: 'localhost', credentials, userAgent })
  c.reconnect.stop()
  c.errors = []
  c.tokens = []
  c.on('error', (err) => c.errors.push(err.condition || err.message))
  c.fast.saveToken = async (token) => { c.tokens.push(token) }
  return c
}
const ask = (c, payload) => c.iqCaller.request(xml('iq', { type: 'get' }, payload))

const first = make({ username: 'juliet', password: 'pw-juliet' }, mine)
await first.start()
const [token] = first.tokens
if (!token || token.mechanism !== 'HT-SHA-256-NONE' || !(new Date(token.expiry) > new Date())) fail('token', first.tokens)
await first.stop()

// Twice: a token is good until another one is used.
for (let i = 0; i < 2; i++) {
  const again = make({ username: 'juliet', token }, mine)
  await again.start()
  const list = (await ask(again, xml('list', 'urn:xmpp:cam:0'))).getChild('clients', 'urn:xmpp:cam:0').getChildren('client')
  const auth = list[0].getChild('auth')
  if (list.length !== 1 || list[0].attrs.connected !== 'true' || !auth.getChild('fast') || !auth.getChild('password') ||
    list[0].getChild('user-agent').getChildText('device') !== 'a test') fail('clients', String(list))
  if (again.errors.length) fail('errors', again.errors)
  await again.stop()
}

// Another client, another account, and a token that was made up.
const wrong = [
  make({ username: 'juliet', token }, other),
  make({ username: 'romeo', token }, mine),
  make({ username: 'juliet', token: { ...token, token: token.token.slice(0, -2) } }, mine)
]
for (const c of wrong) {
  let in_ = true
  try { await c.start() } catch { in_ = false }
  if (in_) fail('somebody else got in with the token')
}

// Who is refused with a token has the password still, and is given another token.
const back = make({ username: 'juliet', password: 'pw-juliet', token: { ...token, token: 'x' } }, mine)
await back.start()
if (back.tokens.length !== 1 || back.tokens[0].token === token.token) fail('no new token', back.tokens)
await back.stop()
console.log('ok')
process.exit(0)

// Clients of @xmpp/client read an archive page by page, both ways, and see on a second device
// what the first one says, under the ids of the archive. Arguments: port.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
const { client, xml } = await import('@xmpp/client')

const MAM = 'urn:xmpp:mam:2'
const RSM = 'http://jabber.org/protocol/rsm'
const port = process.argv[2]
const fail = (...what) => { console.log(...what); process.exit(1) }
setTimeout(() => fail('too slow'), 100000)
const check = (ok, ...what) => { if (!ok) fail(...what) }

const make = async (name, resource) => {
  const c = client({ service: `xmpp://127.0.0.1:${port}`, domain: 'localhost', username: name, password: 'pw-' + name, resource })
  c.on('error', (err) => fail('error', err.message))
  c.results = []
  c.heard = []
  c.on('stanza', (s) => {
    if (!s.is('message')) return
    const result = s.getChild('result', MAM)
    if (result) {
      const message = result.getChild('forwarded', 'urn:xmpp:forward:0').getChild('message')
      c.results.push([result.attrs.queryid, result.attrs.id, message.getChildText('body')])
      return
    }
    const copy = s.getChild('sent', 'urn:xmpp:carbons:2') || s.getChild('received', 'urn:xmpp:carbons:2')
    const m = copy ? copy.getChild('forwarded').getChild('message') : s
    const id = m.getChildren('stanza-id', 'urn:xmpp:sid:0').find((e) => e.attrs.by === `${name}@localhost`)
    if (m.getChildText('body')) c.heard.push([copy ? copy.name : 'message', m.getChildText('body'), id && id.attrs.id])
  })
  c.full = String(await c.start())
  await c.send(xml('presence'))
  return c
}
const ask = (c, payload, type = 'set') => c.iqCaller.request(xml('iq', { type }, payload))
const settled = (c) => c.iqCaller.request(xml('iq', { type: 'get', to: 'localhost' }, xml('ping', 'urn:xmpp:ping')))
const say = (c, to, body) => c.send(xml('message', { to, type: 'chat' }, xml('body', {}, body)))
const until = async (ok) => { while (!ok()) await new Promise((resolve) => setTimeout(resolve, 20)) }

let queries = 0
// query asks for one page, and returns what it has and what is said of it.
const query = async (c, set, form = {}) => {
  const queryid = 'q' + ++queries
  const fields = Object.entries({ FORM_TYPE: MAM, ...form }).map(([name, value]) => xml('field', { var: name }, xml('value', {}, value)))
  const answer = await ask(c, xml('query', { xmlns: MAM, queryid }, xml('x', { xmlns: 'jabber:x:data', type: 'submit' }, ...fields),
    xml('set', { xmlns: RSM }, ...Object.entries(set).map(([name, value]) => xml(name, {}, String(value))))))
  const fin = answer.getChild('fin', MAM)
  const rsm = fin.getChild('set', RSM)
  return {
    list: c.results.filter(([of]) => of === queryid),
    complete: fin.attrs.complete === 'true',
    first: rsm.getChildText('first'), last: rsm.getChildText('last'), count: rsm.getChildText('count'),
    index: rsm.getChild('first')?.attrs.index
  }
}
const bodies = (page) => page.list.map(([, , body]) => body)
const refused = async (what, condition) => {
  try { await what } catch (err) { return check(err.condition === condition, err.condition, 'instead of', condition) }
  fail('no', condition)
}

const romeo = await make('romeo', 'r')
const desk = await make('juliet', 'desk')
const said = []
for (let n = 0; n < 120; n++) {
  const [who, to] = n % 2 ? [romeo, 'juliet@localhost'] : [desk, 'romeo@localhost']
  await say(who, to, 'line ' + n)
  await settled(who)
  said.push('line ' + n)
}

let page = await query(desk, { max: 50 })
let got = bodies(page)
const pages = [page.index]
while (!page.complete) {
  page = await query(desk, { max: 50, after: page.last })
  got.push(...bodies(page))
  pages.push(page.index)
}
check(got.join() === said.join() && pages.join() === '0,50,100' && page.count === '120', 'forwards', pages, got)
got = []
page = { first: '' }
do {
  page = await query(desk, { max: 50, before: page.first })
  got.unshift(...bodies(page))
} while (!page.complete)
check(got.join() === said.join(), 'backwards', got)
page = await query(desk, { max: 2 }, { with: romeo.full })
// What she wrote went to his bare address: only his own are exchanged with that resource.
check(bodies(page).join() === 'line 1,line 3' && page.count === '60', 'with a resource', page)
await refused(query(desk, { max: 5, after: 'nothing' }), 'item-not-found')
await refused(query(desk, { max: 'many' }), 'bad-request')
await refused(query(desk, { max: 5 }, { colour: 'blue' }), 'feature-not-implemented')

const prefs = await ask(desk, xml('prefs', { xmlns: MAM, default: 'never' }, xml('always', {}, xml('jid', {}, 'romeo@localhost')), xml('never')))
check(prefs.getChild('prefs', MAM).attrs.default === 'never', String(prefs))
await ask(desk, xml('prefs', { xmlns: MAM, default: 'always' }))

const phone = await make('juliet', 'phone')
for (const c of [desk, phone]) await ask(c, xml('enable', 'urn:xmpp:carbons:2'))
await say(romeo, desk.full, 'to the desk')
await until(() => desk.heard.at(-1)[1] === 'to the desk' && phone.heard.length)
await say(desk, 'romeo@localhost', 'from the desk')
await until(() => phone.heard.length === 2)
page = await query(phone, { max: 2, before: '' })
const [to, from] = page.list.map(([, id]) => id)
check(bodies(page).join() === 'to the desk,from the desk', 'archive', bodies(page))
check(desk.heard.at(-1).join() === ['message', 'to the desk', to].join(), 'desk', desk.heard, to)
check(phone.heard.join() === [['received', 'to the desk', to], ['sent', 'from the desk', from]].join(), 'phone', phone.heard, to, from)

for (const c of [romeo, desk, phone]) await c.stop()
console.log('ok')
process.exit(0)

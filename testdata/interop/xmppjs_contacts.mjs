// Two clients of @xmpp/client add each other, are denied and accepted, sort into groups,
// block, write to who is away, and take leave. Arguments: port.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // the test server's certificate is its own
const { client, xml } = await import('@xmpp/client')

const port = process.argv[2]
setTimeout(() => { console.log('too slow'); process.exit(1) }, 100000)
const fail = (...why) => { console.log(...why); process.exit(1) }

class Person {
  constructor (user) {
    this.user = user
    this.bare = `${user}@localhost`
    this.heard = []
  }

  async comes () {
    this.c = client({ service: `xmpp://127.0.0.1:${port}`, domain: 'localhost', username: this.user, password: 'pw-' + this.user, resource: 'js' })
    this.c.on('error', (err) => fail(this.user, 'error', err.message))
    this.c.on('stanza', (s) => { this.heard.push(s) })
    this.c.iqCallee.set('jabber:iq:roster', 'query', (ctx) => { this.heard.push(ctx.stanza); return true })
    this.c.iqCallee.set('urn:xmpp:blocking', 'block', (ctx) => { this.heard.push(ctx.stanza); return true })
    this.jid = (await this.c.start()).toString() // Bind 2 makes the resource
    this.roster = await this.get(xml('query', 'jabber:iq:roster'))
    await this.c.send(xml('presence'))
    await this.hears('itself', (s) => s.is('presence') && s.attrs.from === this.jid)
    return this
  }

  async leaves () { await this.c.stop() }
  get (payload) { return this.c.iqCaller.get(payload) }
  set (payload) { return this.c.iqCaller.set(payload) }
  presence (type, to) { return this.c.send(xml('presence', { type, to })) }
  says (to, body) { return this.c.send(xml('message', { to, type: 'chat' }, xml('body', {}, body))) }
  settled () { return this.c.iqCaller.request(xml('iq', { type: 'get', to: 'localhost' }, xml('ping', 'urn:xmpp:ping'))) }

  // hears waits for a stanza and takes it out of what was heard.
  async hears (what, ok) {
    for (let n = 0; n < 6000; n++) {
      const i = this.heard.findIndex(ok)
      if (i >= 0) return this.heard.splice(i, 1)[0]
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    fail(this.user, 'does not hear', what, this.heard.map(String))
  }

  shown (type, from) { return this.hears(`${type} of ${from}`, (s) => s.is('presence') && (s.attrs.type || '') === type && s.attrs.from === from) }
  told (body, delayed) {
    return this.hears(body, (s) => s.is('message') && s.attrs.type === 'chat' && s.getChildText('body') === body && !!s.getChild('delay', 'urn:xmpp:delay') === delayed)
  }

  pushed (jid, subscription, ask, groups) {
    return this.hears(`a push of ${jid} ${subscription} ${ask} ${groups}`, (s) => {
      const item = s.is('iq') && s.getChild('query', 'jabber:iq:roster')?.getChild('item')
      return item && item.attrs.jid === jid && item.attrs.subscription === subscription && item.attrs.ask === ask &&
        item.getChildren('group').map((g) => g.text()).sort().join() === groups
    })
  }
}

const romeo = await new Person('romeo').comes()
let juliet = await new Person('juliet').comes()
const item = (attrs, ...groups) => xml('query', 'jabber:iq:roster', xml('item', attrs, ...groups.map((g) => xml('group', {}, g))))

// Denied, then accepted, and back.
await juliet.presence('subscribe', romeo.bare)
await juliet.pushed(romeo.bare, 'none', 'subscribe', '')
await romeo.shown('subscribe', juliet.bare)
await romeo.presence('unsubscribed', juliet.bare)
await juliet.shown('unsubscribed', romeo.bare)
await juliet.pushed(romeo.bare, 'none', undefined, '')
await juliet.presence('subscribe', romeo.bare)
await romeo.shown('subscribe', juliet.bare)
await romeo.presence('subscribed', juliet.bare)
await juliet.shown('', romeo.jid)
await juliet.pushed(romeo.bare, 'to', undefined, '')
await romeo.presence('subscribe', juliet.bare)
await juliet.shown('subscribe', romeo.bare)
await juliet.presence('subscribed', romeo.bare)
await romeo.shown('', juliet.jid)
await romeo.pushed(juliet.bare, 'both', undefined, '')

// Groups, seen again at the next login; what waited is there in order.
await juliet.set(item({ jid: romeo.bare, name: 'Romeo' }, 'Montague', 'Poets'))
await juliet.pushed(romeo.bare, 'both', undefined, 'Montague,Poets')
await juliet.leaves()
await romeo.shown('unavailable', juliet.jid)
for (let n = 0; n < 3; n++) await romeo.says(juliet.bare, `wait ${n}`)
await romeo.settled()
juliet = await new Person('juliet').comes()
const listed = juliet.roster.getChildren('item').find((i) => i.attrs.jid === romeo.bare)
if (listed.attrs.name !== 'Romeo' || listed.getChildren('group').length !== 2) fail('the roster', juliet.roster.toString())
await juliet.shown('', romeo.jid)
await romeo.shown('', juliet.jid)
// Who binds with Bind 2 is not given what waited, but finds it in the archive (XEP-0386 §3.2).
const order = []
await juliet.set(xml('query', 'urn:xmpp:mam:2', xml('set', 'http://jabber.org/protocol/rsm', xml('max', {}, '3'), xml('before'))))
for (let n = 0; n < 3; n++) {
  const m = await juliet.hears('what waited', (s) => s.is('message') && s.getChild('result', 'urn:xmpp:mam:2'))
  order.push(m.getChild('result').getChild('forwarded').getChild('message').getChildText('body'))
}
await juliet.settled()
if (juliet.heard.some((s) => s.is('message'))) fail('twice', juliet.heard.map(String))
if (order.join() !== 'wait 0,wait 1,wait 2') fail('order', order)

// Blocked, and not any more.
const block = (name) => xml(name, 'urn:xmpp:blocking', xml('item', { jid: romeo.bare }))
await juliet.set(block('block'))
await romeo.shown('unavailable', juliet.jid)
await romeo.says(juliet.bare, '?')
await romeo.hears('a refusal', (s) => s.is('message') && s.attrs.type === 'error' && s.getChild('error').getChild('service-unavailable'))
const list = await juliet.get(xml('blocklist', 'urn:xmpp:blocking'))
if (list.getChildren('item').length !== 1) fail('block list', list.toString())
await juliet.set(block('unblock'))
await romeo.shown('', juliet.jid)
await romeo.says(juliet.bare, 'again')
await juliet.told('again', false)

// Removed by one, it ends for both.
await juliet.set(item({ jid: romeo.bare, subscription: 'remove' }))
await juliet.pushed(romeo.bare, 'remove', undefined, '')
await romeo.shown('unsubscribe', juliet.bare)
await romeo.shown('unsubscribed', juliet.bare)
await romeo.shown('unavailable', juliet.jid)
await romeo.pushed(juliet.bare, 'none', undefined, '')
await juliet.leaves()
await romeo.leaves()
console.log('ok')
process.exit(0)

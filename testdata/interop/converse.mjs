// A person with a browser: logs in at /chat, adds a contact, chats, joins a room, sends a picture,
// and finds it all after coming back. Arguments: URL of the pages, websocket or bosh, folder for
// pictures of the screen. Every request is recorded: all must go to the server itself, and the
// console must have nothing to complain of.
import { chromium } from 'playwright-core'
import { mkdirSync } from 'node:fs'

const [base, transport, shots] = process.argv.slice(2)
const origin = new URL(base).origin
mkdirSync(shots, { recursive: true })
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  // Chromium refuses to run as root in its own sandbox. No other host can be found.
  args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost']
})
const context = await browser.newContext({
  ignoreHTTPSErrors: true, locale: 'en-GB', viewport: { width: 1200, height: 800 } // the certificate is the server's own
})
context.setDefaultTimeout(30000)
const foreign = []
const complaints = []
const used = { websocket: 0, bosh: 0 }
context.on('request', (r) => {
  const url = new URL(r.url())
  if (url.protocol === 'https:' && url.origin !== origin) foreign.push(r.url())
  if (url.pathname.endsWith('/http-bind')) used.bosh++
})
context.on('page', (page) => {
  page.on('websocket', (w) => {
    if (new URL(w.url()).host !== new URL(base).host) foreign.push(w.url())
    used.websocket++
  })
  page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()) })
  page.on('pageerror', (e) => complaints.push(e.stack))
})
const page = await context.newPage()
let at = 'the beginning'
const step = async (what, fn) => {
  at = what
  await fn()
  await page.screenshot({ path: `${shots}/converse-${transport}-${what}.png` })
}
const bodies = () => page.locator('converse-chat-message-body')
const says = async (text) => {
  const box = page.locator('.chat-textarea:visible')
  await box.fill(text)
  await box.press('Enter')
}
const sees = (text) => bodies().filter({ hasText: text }).first().waitFor()
const romeo = '.open-chat[data-jid="romeo@localhost"]'
const place = `${base}/chat/` + (transport === 'bosh' ? '?transport=bosh' : '')

try {
  await page.goto(base)
  await step('landing', () => page.getByText('Chat in the browser').waitFor())
  await page.goto(place)
  await step('login', () => page.locator('#converse-login-jid').waitFor())
  await page.fill('#converse-login-jid', 'juliet')
  await page.fill('#converse-login-password', 'pw-juliet')
  await page.click('#converse-login [type=submit]')
  await step('online', () => page.getByText('I am online').waitFor())

  await step('contact', async () => {
    await page.locator('.dropdown--contacts button').click()
    await page.locator('.add-contact').click()
    await page.fill('.add-xmpp-contact input[name=jid]', 'romeo@localhost')
    await page.click('.add-xmpp-contact [type=submit]')
    await page.locator(`${romeo} .contact-name--online`).waitFor() // he has let her see him
  })
  await step('chat', async () => {
    await page.click(romeo)
    await says('Wherefore art thou <Romeo>?')
    await sees('You said: Wherefore art thou <Romeo>?')
  })
  await step('room', async () => {
    await says('come to hall@conference.localhost')
    await page.click('converse-rooms-list converse-dropdown button')
    await page.locator('.show-add-muc-modal').click()
    await page.fill('form.add-chatroom input[name=chatroom]', 'hall@conference.localhost')
    await page.click('form.add-chatroom [type=submit]')
    await page.locator('converse-muc .chat-textarea').waitFor()
    await page.locator('converse-muc').getByText('Romeo').first().waitFor()
    await says('Good evening, everybody')
    await sees('To all: Good evening, everybody')
  })
  if (complaints.length) throw new Error('the console complains')

  // Somebody comes back, in a tab that knows the session, and then with a browser that knows nothing.
  await step('again', async () => {
    await page.goto(place)
    await page.getByText('I am online').waitFor()
    await page.click(romeo)
    await sees('You said: Wherefore art thou <Romeo>?')
  })
} catch (err) {
  await page.screenshot({ path: `${shots}/converse-${transport}-failed.png` })
  console.log(`failed at ${at}: ${err.message}\n${complaints.join('\n')}`)
  await browser.close()
  process.exit(1)
}
await browser.close()
if (foreign.length) { console.log('asked others:', foreign); process.exit(1) }
if (complaints.length) { console.log('complaints:', complaints); process.exit(1) }
if (transport === 'bosh' ? used.websocket || !used.bosh : !used.websocket || used.bosh) { console.log('came by', used); process.exit(1) }
console.log('ok', JSON.stringify(used))

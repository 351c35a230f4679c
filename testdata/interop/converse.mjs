// A person with a browser: logs in at /chat, adds a contact, chats, joins a room, sends a picture,
// and finds it all after coming back. Arguments: URL of the pages, websocket or bosh, folder for
// pictures of the screen, and a picture to send. Every request is recorded: all must go to
// the server itself, and the console must have nothing to complain of.
import { mkdirSync } from 'node:fs'
import { open } from './browser.mjs'

const [base, transport, shots, picture] = process.argv.slice(2)
mkdirSync(shots, { recursive: true })
const { browser, newPage, foreign, complaints, used } = await open(base)
let page = await newPage()
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
const shown = () => page.waitForFunction(() => {
  const img = document.querySelector('converse-chat-message img.chat-image')
  return img && img.naturalWidth > 0
})
const login = async () => {
  await page.fill('#converse-login-jid', 'juliet')
  await page.fill('#converse-login-password', 'pw-juliet')
  await page.click('#converse-login [type=submit]')
  await page.getByText('I am online').waitFor()
}
const place = `${base}/chat/` + (transport === 'bosh' ? '?transport=bosh' : '')

try {
  await page.goto(base + '/')
  await step('landing', () => page.getByText('Chat in the browser').waitFor())
  await page.goto(place)
  await step('login', () => page.locator('#converse-login-jid').waitFor())
  await step('online', login)

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
    await page.click('converse-rooms-list converse-dropdown button')
    await page.locator('.show-add-muc-modal').click()
    await page.fill('form.add-chatroom input[name=chatroom]', 'hall@conference.localhost')
    await page.click('form.add-chatroom [type=submit]')
    await page.locator('converse-muc .chat-textarea').waitFor() // she has made it
    await page.click(romeo)
    await says('come to hall@conference.localhost')
    await page.click('.open-room')
    await page.locator('converse-muc').getByText('Romeo').first().waitFor()
    await says('Good evening, everybody')
    await sees('To all: Good evening, everybody')
  })
  await step('picture', async () => {
    await page.click(romeo)
    const choice = page.waitForEvent('filechooser')
    await page.locator('button[title="Choose a file to send"]:visible').click()
    await (await choice).setFiles(picture)
    await sees('What a picture!')
    await shown()
  })

  // Somebody comes back, in a tab that knows the session, and then with a browser that knows nothing.
  await step('again', async () => {
    await page.goto(place)
    await page.getByText('I am online').waitFor()
    await page.click(romeo)
    await sees('You said: Wherefore art thou <Romeo>?')
  })
  await page.context().close()
  page = await newPage()
  await step('elsewhere', async () => {
    await page.goto(place)
    await login()
    await page.click(romeo)
    await sees('You said: Wherefore art thou <Romeo>?')
    await shown()
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

// Romeo with a browser: asks Juliet, who has another client, for a picture, sees it and sends one back.
// Arguments: URL of the pages, folder for pictures of the screen, a picture to send.
import { open } from './browser.mjs'

const [base, shots, picture] = process.argv.slice(2)
const { browser, newPage, foreign, complaints } = await open(base)
const page = await newPage()
const sees = (text) => page.locator('converse-chat-message-body').filter({ hasText: text }).first().waitFor()
// shown waits for so many pictures in the chat, and returns how wide they are.
const shown = async (count) => {
  await page.waitForFunction((n) => {
    const all = [...document.querySelectorAll('converse-chat-message img.chat-image')]
    return all.length === n && all.every((img) => img.naturalWidth > 0)
  }, count)
  return page.$$eval('converse-chat-message img.chat-image', (all) => all.map((img) => img.naturalWidth))
}

try {
  await page.goto(base + '/chat/')
  await page.fill('#converse-login-jid', 'romeo')
  await page.fill('#converse-login-password', 'pw-romeo')
  await page.click('#converse-login [type=submit]')
  await page.getByText('I am online').waitFor()
  await page.click('.open-chat[data-jid="juliet@localhost"]')
  const box = page.locator('.chat-textarea:visible')
  await box.fill("What's in a name?")
  await box.press('Enter')
  console.log('widths', ...await shown(1))
  await page.screenshot({ path: `${shots}/converse-from-gajim.png` })
  const choice = page.waitForEvent('filechooser')
  await page.locator('button[title="Choose a file to send"]:visible').click()
  await (await choice).setFiles(picture)
  await sees('As sweet')
  console.log('widths', ...await shown(2))
} catch (err) {
  await page.screenshot({ path: `${shots}/converse-from-gajim-failed.png` })
  console.log(`failed: ${err.message}\n${complaints.join('\n')}`)
  await browser.close()
  process.exit(1)
}
await browser.close()
if (foreign.length) { console.log('asked others:', foreign); process.exit(1) }
if (complaints.length) { console.log('complaints:', complaints); process.exit(1) }
console.log('ok')

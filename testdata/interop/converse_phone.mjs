// Juliet with a small telephone in German, who has no mouse: the pages are as wide as the screen, in her language, and
// she logs in by keys alone. Arguments: URL of the pages, folder for pictures of the screen.
import { open } from './browser.mjs'

const [base, shots] = process.argv.slice(2)
const { browser, newPage, foreign, complaints } = await open(base)
const page = await newPage({ viewport: { width: 360, height: 740 }, locale: 'de-DE' })
const wide = () => page.evaluate(() => document.documentElement.scrollWidth)
const tabs = async (selector) => {
  for (let i = 0; i < 20; i++) {
    if (await page.evaluate((s) => document.activeElement.matches(s), selector)) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`no key leads to ${selector}`)
}

try {
  await page.goto(base + '/')
  console.log('landing', await page.getAttribute('html', 'lang'), await wide())
  await tabs('a.button')
  await page.keyboard.press('Enter')
  await page.locator('#converse-login-jid').waitFor()
  await page.screenshot({ path: `${shots}/converse-phone-login.png` })
  const name = await page.locator('.brand-name-wrapper').first().boundingBox()
  console.log('login', name.x >= 0 && name.x + name.width <= 360, await wide())
  await tabs('#converse-login-jid')
  await page.keyboard.type('juliet')
  await tabs('#converse-login-password')
  await page.keyboard.type('pw-juliet')
  await page.keyboard.press('Enter')
  await page.getByText('Ich bin online').waitFor()
  console.log('online', await wide())
  await page.screenshot({ path: `${shots}/converse-phone-online.png` })
} catch (err) {
  await page.screenshot({ path: `${shots}/converse-phone-failed.png` })
  console.log(`failed: ${err.message}\n${complaints.join('\n')}`)
  await browser.close()
  process.exit(1)
}
await browser.close()
if (foreign.length) { console.log('asked others:', foreign); process.exit(1) }
if (complaints.length) { console.log('complaints:', complaints); process.exit(1) }
console.log('ok')

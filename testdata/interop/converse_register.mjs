// Somebody makes an account in the browser where that is open to all, and is there. Arguments: URL of
// the pages, folder for pictures of the screen.
import { open } from './browser.mjs'

const [base, shots] = process.argv.slice(2)
const { browser, newPage, foreign, complaints } = await open(base)
const page = await newPage()
try {
  await page.goto(base + '/chat/')
  await page.locator('converse-register-link a').click()
  await page.fill('converse-registration-form input[name=username]', 'mercutio')
  await page.fill('converse-registration-form input[name=password]', 'a plague on both houses')
  await page.screenshot({ path: `${shots}/converse-register.png` })
  await page.locator('converse-registration-form [type=submit]').click()
  await page.getByText('I am online').waitFor()
} catch (err) {
  await page.screenshot({ path: `${shots}/converse-register-failed.png` })
  complaints.push(err.message)
}
await browser.close()
if (foreign.length || complaints.length) { console.log('asked others:', foreign, 'complaints:', complaints); process.exit(1) }
console.log('ok')

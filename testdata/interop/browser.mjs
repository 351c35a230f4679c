// A browser that can find no other host than this machine, and that notes what its pages ask for.
import { chromium } from 'playwright-core'

export const open = async (base) => {
  const { origin, host } = new URL(base)
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost'] // as root there is no sandbox
  })
  const foreign = [] // what was asked of others
  const complaints = [] // of the console
  const used = { websocket: 0, bosh: 0 } // connections and requests
  // newPage returns a page of somebody who has never been here. more says how their browser is otherwise.
  const newPage = async (more) => {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true, // the certificate is the server's own
      locale: 'en-GB', viewport: { width: 1200, height: 800 }, ...more
    })
    context.setDefaultTimeout(90000)
    context.on('request', (r) => {
      const url = new URL(r.url())
      if (/^https?:$/.test(url.protocol) && url.origin !== origin) foreign.push(r.url())
      if (url.pathname.endsWith('/http-bind')) used.bosh++
    })
    const page = await context.newPage()
    page.on('websocket', (w) => {
      if (new URL(w.url()).host !== host) foreign.push(w.url())
      used.websocket++
    })
    page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()) })
    page.on('pageerror', (e) => complaints.push(e.stack))
    return page
  }
  return { browser, newPage, foreign, complaints, used }
}

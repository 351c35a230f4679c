// Starts the client with the settings that the server has written into the page. Addresses are
// made from the page's own, so that they are right behind any proxy.
const page = document.documentElement.dataset
const settings = JSON.parse(page.settings)
const { websocket, bosh } = settings
delete settings.websocket
delete settings.bosh

const beside = (path) => new URL('..' + path, location.href.split(/[?#]/)[0])
if (websocket && 'WebSocket' in window) {
  const url = beside(websocket)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  settings.websocket_url = url.href
}
if (bosh) settings.bosh_service_url = beside(bosh).href
// Pictures that are sent come from here, or from where the server says that the world sees it.
settings.render_media.push(location.host)
settings.assets_path = `./${page.version}`
settings.notification_icon = `./${page.version}/images/logo/conversejs-filled-192.png`

// ?transport=bosh is for whoever wants to know whether a network lets BOSH pass.
if (new URLSearchParams(location.search).get('transport') === 'bosh' && bosh) delete settings.websocket_url

try {
  const { default: converse } = await import(`./${page.version}/converse.min.js`)
  await converse.initialize(settings)
} catch (err) {
  document.getElementById('failed').hidden = false
  throw err
}

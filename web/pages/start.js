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
for (const kind of ['render_media', 'allowed_image_domains', 'allowed_audio_domains', 'allowed_video_domains']) {
  settings[kind].push(location.hostname)
}
settings.assets_path = `./${page.version}`
settings.notification_icon = `./${page.version}/images/logo/conversejs-filled-192.png`

// ?transport=bosh is for whoever wants to know whether a network lets BOSH pass.
if (new URLSearchParams(location.search).get('transport') === 'bosh' && bosh) delete settings.websocket_url

// The client's own foot loads pictures from its makers' site. An element that is already there is
// not defined again.
customElements.define('converse-footer', class extends HTMLElement {
  connectedCallback () {
    const link = document.createElement('a')
    link.href = 'about'
    link.textContent = `Converse.js ${page.version}`
    this.className = 'notices'
    this.replaceChildren(link)
  }
})

try {
  const { default: converse } = await import(`./${page.version}/converse.min.js`)
  // A tab that is loaded again goes on with its stream (XEP-0198). By itself the client (14.0.0)
  // takes a new resource then, speaks in its name on the stream of the old one, and is thrown out.
  converse.plugins.add('parley-same-resource', {
    initialize () {
      const { _converse } = this
      const { api } = _converse
      let loaded = true // and not connected since
      api.listen.on('setUserJID', () => {
        const jid = sessionStorage.getItem('parley-jid')
        const { session } = _converse
        if (!loaded || !jid?.startsWith(session.get('bare_jid') + '/') || !session.get('smacks_stream_id')) return
        session.save({ jid, resource: jid.slice(jid.indexOf('/') + 1) })
        api.connection.get().jid = jid
      })
      const connected = () => {
        loaded = false
        sessionStorage.setItem('parley-jid', _converse.session.get('jid'))
      }
      api.listen.on('connected', connected)
      api.listen.on('reconnected', connected)
    }
  })
  settings.whitelisted_plugins = ['parley-same-resource']
  await converse.initialize(settings)
} catch (err) {
  document.getElementById('failed').hidden = false
  throw err
}

// Starts js-ipfs on loopback, without any peer, for the tests marked `ipfs`.
// Usage: node daemon.mjs FOLDER_WITH_NODE_MODULES REPO_FOLDER
// Prints one line of JSON, {"api": "/ip4/127.0.0.1/tcp/PORT/http"}, when it is ready.
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

// Node 20 lacks it, and js-ipfs's newest dependencies use it
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const freePort = () => new Promise((resolve, reject) => {
  const server = createServer()
  server.on('error', reject)
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

const [modules, repo] = process.argv.slice(2)
const entry = join(modules, 'node_modules', 'ipfs-daemon', 'src', 'index.js')
const { Daemon } = await import(pathToFileURL(entry).href)
const api = `/ip4/127.0.0.1/tcp/${await freePort()}`
const gateway = `/ip4/127.0.0.1/tcp/${await freePort()}`
const daemon = new Daemon({
  repo,
  offline: true,
  silent: true,
  init: { profiles: ['test'], emptyRepo: true },
  config: {
    Addresses: { Swarm: [], API: api, Gateway: gateway, RPC: '', Delegates: [] },
    Bootstrap: [],
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } }
  }
})
await daemon.start()
console.log(JSON.stringify({ api: `${api}/http` }))
process.on('SIGTERM', async () => { await daemon.stop(); process.exit(0) })

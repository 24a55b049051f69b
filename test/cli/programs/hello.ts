/** An app that starts itself, as the README's does. */
import { createApp } from 'sluice'
import { redis } from 'sluice/redis'

const app = createApp({ name: 'hello', components: { cache: redis() } })
app.service('greeting', ({ http }) => {
  http.get('/', () => ({ hello: process.argv.slice(2) }))
})
await app.start()
console.log(`started ${app.address.url}`)

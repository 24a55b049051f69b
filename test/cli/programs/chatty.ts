/** An app that writes while it serves, and tells its address on standard error. */
import { createApp } from 'sluice'

const app = createApp({ name: 'chatty' })
app.service('greeting', ({ http, log }) => {
  http.get('/', () => {
    console.log('hello')
    log.info({}, 'hello')
    return { hello: true }
  })
})
await app.start()
process.stderr.write(`at ${app.address.url}\n`)

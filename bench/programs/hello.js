// The same hello world as bare.js, as a service of an app.
import { createApp } from '#dist/bundle/index.js'

const app = createApp({ name: 'hello', port: Number(process.env.PORT ?? 0), host: '127.0.0.1' })
app.service('hello', ({ http }) => {
  http.get('/', () => ({ hello: 'world' }))
})
await app.start()
console.log(JSON.stringify({ url: app.address.url }))

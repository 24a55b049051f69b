/** A script: starts its app, works with it, and stops it. */
import { createApp } from 'sluice'

const app = createApp({ name: 'stops' })
await app.start()
console.log(`worked at ${app.address.url}`)
await app.stop()

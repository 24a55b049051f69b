/** Ends in `await app.run()`, as the README's program does. */
import { createApp } from 'sluice'

const app = createApp({ name: 'runs' })
await app.run()

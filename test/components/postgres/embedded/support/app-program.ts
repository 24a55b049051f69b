/** A whole app on the embedded database in the directory that it is given. */
import { createApp } from '../../../../../src/index.ts'
import { postgres } from '../../../../../src/components/postgres/index.ts'

const app = createApp({
  name: 'foreign',
  components: { db: postgres({ dataDir: process.argv[2] ?? '' }) },
  port: 0,
  env: {},
  configFile: false,
})
await app.run()

/** A process that migrates. */
import { postgres } from '../../src/components/postgres/index.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'

const component = await connectComponent(postgres({ dsn: process.argv[2] ?? '' }), { name: 'db' })
await migrateEngine(component.api)
await component.close()

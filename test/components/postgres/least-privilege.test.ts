/** The component under a role that may do nothing but create tables in one database. */
import { after, before } from 'node:test'
import { postgres } from '../../../src/components/postgres/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { everydayConformance } from './conformance.ts'
import { connected, server, skip, unique } from './support.ts'

const role = unique('role')
const database = unique('least')
const url = new URL(server.url)
url.username = role
url.pathname = `/${database}`

before(async () => {
  if (skip !== false) return
  await using admin = await connected()
  await admin.api.execute(`create role ${role} login nosuperuser nocreatedb nocreaterole`)
  await admin.api.createDatabase(database)
  await admin.api.database(database).script(
    `revoke all on database ${database} from public; grant connect, temporary on database ${database} to ${role};
     revoke all on schema public from public; grant usage, create on schema public to ${role}`,
  )
})
after(async () => {
  if (skip !== false) return
  await using admin = await connected()
  await admin.api.dropDatabase(database)
  await admin.api.execute(`drop role ${role}`)
})

everydayConformance(
  (options) => connectComponent(postgres({ dsn: url.href, ...options }), { name: 'db' }),
  skip,
)

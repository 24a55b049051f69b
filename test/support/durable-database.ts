/**
 * An empty database of a test's own for what lives in one: on the server, where there is one, else on the embedded one; so
 * that these tests run on a machine with nothing else installed. SLUICE_TEST_DATABASE=embedded chooses that although there
 * is a server.
 */
import { createTestDatabase } from '../../src/testing/index.ts'
import { ownDatabase, type OwnDatabase } from './own-database.ts'
import { serverAt } from './servers.ts'

const server = await serverAt('postgres')

export const isEmbedded = server.skip !== false

export function durableDatabase(): Promise<OwnDatabase> {
  return isEmbedded ? createTestDatabase() : ownDatabase(server.url)
}

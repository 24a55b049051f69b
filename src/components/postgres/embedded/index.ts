/** The embedded PostgreSQL server: what the component needs of it. */
export { acquireEmbeddedServer } from './acquire.ts'
export type { EmbeddedOptions, Progress } from './options.ts'
export type { EmbeddedConnection, EmbeddedInspection, EmbeddedServer } from './server.ts'

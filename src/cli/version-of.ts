/** The version that a server says it has, by kind of component. */
import type { ComponentBase } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import type { Redis } from '../components/redis/api.ts'

const READERS: Readonly<Record<string, (api: ComponentBase) => Promise<string | undefined>>> = {
  postgres: async (api) => {
    const rows = await (api as Postgres).query<{ version: string }>(
      `select current_setting('server_version') as version`,
    )
    return rows[0]?.version
  },
  redis: async (api) => {
    const reply = await (api as Redis).command(['INFO', 'server'])
    return /^redis_version:(\S+)/m.exec(String(reply))?.[1]
  },
}

const LIMIT_MS = 2_000

/** Undefined for what has no version or does not tell it: that is no fault of a component that answers. */
export async function versionOf(kind: string, api: ComponentBase): Promise<string | undefined> {
  const reader = READERS[kind]
  if (reader === undefined) return undefined
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), LIMIT_MS)
  try {
    return await Promise.race([reader(api), late.promise])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

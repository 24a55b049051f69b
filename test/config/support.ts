/** A configuration of a usual app, for the tests of this folder. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { section as postgresSection } from '../../src/components/postgres/section.ts'
import { redisSection } from '../../src/components/redis/section.ts'
import {
  readConfig,
  type ConfigReading,
  type ConfigurableComponent,
  type LoadOptions,
} from '../../src/config/load.ts'
import type { Section } from '../../src/config/section.ts'

export function component(kind: string, section: Section, overrides = {}): ConfigurableComponent {
  return { kind, section, overrides, workers: 10, connectTimeoutMs: 30_000 }
}

/** `db` on PostgreSQL; `cache` and `sessions` on Redis. */
export function usualComponents(
  overrides: Readonly<Record<string, object>> = {},
): NonNullable<LoadOptions['components']> {
  return {
    db: component('postgres', postgresSection, overrides['db']),
    cache: component('redis', redisSection, overrides['cache']),
    sessions: component('redis', redisSection, overrides['sessions']),
  }
}

export interface Written {
  readonly env?: Readonly<Record<string, string>>
  /** Text of sluice.yaml. */
  readonly yaml?: string | Uint8Array
  /** Overrides of components in code, by name. */
  readonly code?: Readonly<Record<string, object>>
  readonly options?: LoadOptions
}

/** Reads the configuration of the usual app from what was written, in a directory of its own. */
export async function read(written: Written): Promise<ConfigReading> {
  await using directory = await temporaryDirectory()
  if (written.yaml !== undefined) await writeFile(join(directory.path, 'sluice.yaml'), written.yaml)
  return await readConfig({
    components: usualComponents(written.code),
    services: ['todos', 'reports'],
    env: written.env ?? {},
    cwd: directory.path,
    ...written.options,
  })
}

export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-config-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The value and the source of a path of the effective configuration: `5s from default`. */
export function shown(config: ConfigReading, path: string): string {
  const entry = config.entries.find((each) => each.path === path)
  return entry === undefined ? 'no such path' : `${entry.shown} from ${entry.source}`
}

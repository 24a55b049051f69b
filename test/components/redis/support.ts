/** A connected redis component without an app: what the tests of this folder start from. */
import { randomUUID } from 'node:crypto'
import type { ComponentDefinition } from '../../../src/app/component.ts'
import { redis, type Redis, type RedisOptions } from '../../../src/components/redis/index.ts'
import type { redisSection } from '../../../src/components/redis/section.ts'
import type { Clock } from '../../../src/core/clock.ts'
import { isSluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { openComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'

export interface Connected extends OpenComponent<Redis> {
  readonly cache: Redis
  /** Resolves at the next loss of the connection. */
  nextLoss(): Promise<Error>
}

export interface ConnectOptions {
  readonly clock?: Clock
  readonly log?: Logger
  /** Uniform in [0, 1). */
  readonly random?: () => number
  /** Leave the connecting to the test. @default false */
  readonly idle?: boolean
}

export async function connectRedis(
  options: RedisOptions = {},
  more: ConnectOptions = {},
): Promise<Connected> {
  const { idle = false, ...rest } = more
  let loss = Promise.withResolvers<Error>()
  const definition = tellLosses(redis(options), (error) => {
    loss.resolve(error)
    loss = Promise.withResolvers()
  })
  const open = await openComponent(definition, { name: 'cache', appName: 'test app', ...rest })
  const connected: Connected = Object.assign(Object.create(open) as OpenComponent<Redis>, {
    cache: open.api,
    nextLoss: () => loss.promise,
  })
  if (idle) return connected
  try {
    await open.connect()
  } catch (error) {
    await open.close().catch(() => {})
    throw error
  }
  return connected
}

/** A prefix of one's own, so that tests may run side by side on one server. */
export const ownPrefix = (): string => `sluice-test:${randomUUID()}:`

export const hasCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isSluiceError(error) && error.code === code

type Definition = ComponentDefinition<Redis, typeof redisSection.fields>

function tellLosses(definition: Definition, tell: (error: Error) => void): Definition {
  return {
    ...definition,
    create: (context) =>
      definition.create({
        ...context,
        lost: (error) => {
          context.lost(error)
          tell(error)
        },
      }),
  }
}

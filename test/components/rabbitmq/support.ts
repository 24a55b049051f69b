/** A virtual host of the file's own on the shared broker, and connected components on it. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { Connection } from 'rabbitmq-client'
import type { Clock } from '../../../src/core/clock.ts'
import { isSluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import { rabbitmq, type RabbitMQ, type RabbitMQOptions } from '../../../src/components/rabbitmq/index.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { openComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { serverAt } from '../../support/servers.ts'

const run = promisify(execFile)

export interface Broker {
  /** `host:port`. */
  readonly address: string
  readonly vhost: string
  readonly user: string
  readonly password: string
}

export interface OwnVhost extends AsyncDisposable {
  readonly broker: Broker
  /** False, or why tests cannot run here. */
  readonly skip: false | string
}

/** Runs an Erlang expression in the broker, as `rabbitmqctl eval` does: one start of the tool for several steps. */
export async function brokerEval(
  expression: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const args = ['-q', 'eval', expression]
  const options = { env: { ...process.env, ...env }, timeout: 60_000 }
  if (process.getuid?.() === 0) return (await run('rabbitmqctl', args, options)).stdout
  return (await run('sudo', ['-n', '-E', 'rabbitmqctl', ...args], options)).stdout
}

/** A virtual host with a random name. Dispose of it after the last test. */
export async function ownVhost(): Promise<OwnVhost> {
  const { url, skip } = await serverAt('rabbitmq')
  const { host, username, password } = new URL(url)
  const vhost = `sluice-test-${randomUUID()}`
  const user = decodeURIComponent(username === '' ? 'guest' : username)
  const broker = {
    address: host.includes(':') ? host : `${host}:5672`,
    vhost,
    user,
    password: decodeURIComponent(password === '' ? 'guest' : password),
  }
  if (skip !== false) return { broker, skip, [Symbol.asyncDispose]: async () => {} }
  await brokerEval(makeVhost(vhost, user))
  return {
    broker,
    skip,
    async [Symbol.asyncDispose]() {
      await brokerEval(`rabbit_vhost:delete(<<"${vhost}">>, <<"test">>).`)
    },
  }
}

export const makeVhost = (vhost: string, user: string): string =>
  `rabbit_vhost:add(<<"${vhost}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions(<<"${user}">>, <<"${vhost}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).`

export interface Connected extends OpenComponent<RabbitMQ> {
  readonly mq: RabbitMQ
  /** Resolves at the next loss of the connection. */
  nextLoss(): Promise<Error>
}

export interface ConnectOptions {
  readonly clock?: Clock
  readonly log?: Logger
  readonly random?: () => number
  readonly appName?: string
  /** Leave the connecting to the test. @default false */
  readonly idle?: boolean
}

/** Options of the component for a broker; `address` where it is reached through a proxy. */
export const at = (
  broker: Broker,
  options: RabbitMQOptions = {},
  address = broker.address,
): RabbitMQOptions => ({
  host: address,
  vhost: broker.vhost,
  user: broker.user,
  password: broker.password,
  ...options,
})

export async function connectRabbit(options: RabbitMQOptions, more: ConnectOptions = {}): Promise<Connected> {
  const { idle = false, appName = 'test', ...rest } = more
  let loss = Promise.withResolvers<Error>()
  const definition = rabbitmq(options)
  const open = await openComponent(
    {
      ...definition,
      create: (context) =>
        definition.create({
          ...context,
          lost: (error) => {
            context.lost(error)
            loss.resolve(error)
            loss = Promise.withResolvers()
          },
        }),
    },
    { name: 'mq', appName, ...rest },
  )
  const connected: Connected = Object.assign(Object.create(open) as OpenComponent<RabbitMQ>, {
    mq: open.api,
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

/** Connects again and again, as the app does, until it works. */
export async function reconnect(connected: Connected): Promise<void> {
  for (;;) {
    try {
      await connected.connect()
      return
    } catch (error) {
      if (!isSluiceError(error)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** A program of others: the plain driver. */
export async function foreigner(broker: Broker): Promise<Connection & AsyncDisposable> {
  const [hostname, port] = broker.address.split(':')
  const connection = new Connection({
    hostname: hostname!,
    port: port!,
    username: broker.user,
    password: broker.password,
    vhost: broker.vhost,
    frameMax: 131_072,
  })
  connection.on('error', () => {})
  await connection.onConnect()
  return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.close() })
}

/** Collects what a handler is called with, and waits for it. */
export class Inbox<T> {
  readonly items: T[] = []
  #wake = Promise.withResolvers<void>()

  readonly add = (item: T): void => {
    this.items.push(item)
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  /** Resolves when there are so many, or `enough` says so. */
  async until(enough: number | ((items: readonly T[]) => boolean)): Promise<readonly T[]> {
    const isEnough = typeof enough === 'number' ? (): boolean => this.items.length >= enough : enough
    while (!isEnough(this.items)) await this.#wake.promise
    return this.items
  }
}

/** A queue, topic or exchange of the test's own. */
export const unique = (name: string): string => `${name}-${randomUUID().slice(0, 8)}`

export const hasCode =
  (code: ErrorCode, pattern = /(?:)/) =>
  (error: unknown): boolean =>
    isSluiceError(error) && error.code === code && pattern.test(error.message)

/** Waits until the breaker, which a burst of failures has opened, lets calls in again. */
export async function letIn<T>(call: () => PromiseLike<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!hasCode('SLUICE_BREAKER_OPEN')(error)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** Looks again and again, a turn of the event loop apart. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * One client of the driver, for all databases on the same servers. It finds servers, keeps connections and mends itself;
 * what is added is that every wait ends: when it is opened, and when it is closed while nobody answers.
 */
import type { Db, MongoClient, MongoClientOptions } from 'mongodb'
import { onAbort, waitOrAbort } from '../../../core/abort.ts'
import type { Clock } from '../../../core/clock.ts'
import { mongoError } from './errors.ts'
import type { MongoModule } from './peer.ts'

export type Topology = 'standalone' | 'replica-set' | 'sharded'

/** Ends of sessions and cursors are a courtesy to the server. */
const CLOSE_LIMIT_MS = 1_000

export class Handle {
  readonly #component: string
  readonly #clock: Clock
  readonly client: MongoClient
  #topology: Topology | undefined
  /** Ids of those that are up. */
  readonly #connections = new Set<string>()
  #closing: Promise<void> | undefined

  /** @throws SluiceError SLUICE_CONFIG where the driver cannot read the URL. */
  constructor(
    component: string,
    module: MongoModule,
    url: string,
    options: MongoClientOptions,
    clock: Clock,
  ) {
    this.#component = component
    this.#clock = clock
    try {
      this.client = new module.MongoClient(url, options)
    } catch (error) {
      throw mongoError(error, { component, what: 'the URL', repeatable: true })
    }
    const idOf = (event: { readonly address: string; readonly connectionId: unknown }): string =>
      `${event.address} ${String(event.connectionId)}`
    this.client.on('connectionReady', (event) => void this.#connections.add(idOf(event)))
    this.client.on('connectionClosed', (event) => void this.#connections.delete(idOf(event)))
  }

  /** Connections for calls; those that watch the servers are not counted. */
  get connections(): number {
    return this.#connections.size
  }

  /** Undefined while it is not known. */
  get topology(): Topology | undefined {
    return this.#topology
  }

  db(name: string): Db {
    return this.client.db(name)
  }

  /** Resolves when a server has answered. */
  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    try {
      await waitOrAbort(this.client.connect(), signal)
      await this.ping(signal)
      await this.learn(signal)
    } catch (error) {
      if (signal.aborted) throw error
      throw mongoError(error, { component: this.#component, what: 'connect', repeatable: true })
    }
  }

  /** Goes the way of every call: a server that fits, a connection, credentials. */
  async ping(signal: AbortSignal): Promise<void> {
    await this.#ask({ ping: 1 }, signal)
  }

  /** What kind of deployment it is; asked once, since an old one does not turn into another under the same address. */
  async learn(signal: AbortSignal): Promise<Topology> {
    if (this.#topology !== undefined) return this.#topology
    const answer = await this.#ask({ isMaster: 1 }, signal)
    this.#topology =
      answer['msg'] === 'isdbgrid'
        ? 'sharded'
        : answer['setName'] === undefined
          ? 'standalone'
          : 'replica-set'
    return this.#topology
  }

  /** Resolves within a second. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const over = new AbortController()
    const closed = this.client.close().catch(() => undefined)
    await Promise.race([
      closed,
      this.#clock.sleep(CLOSE_LIMIT_MS, { signal: over.signal }).catch(() => undefined),
    ])
    over.abort()
  }

  async #ask(command: Record<string, unknown>, signal: AbortSignal): Promise<Record<string, unknown>> {
    // The driver leaves its listener on the signal for as long as it waits; a short one goes with the call.
    const own = new AbortController()
    const release = onAbort(signal, (reason) => own.abort(reason))
    try {
      return await waitOrAbort(this.client.db('admin').command(command, { signal: own.signal }), signal)
    } finally {
      release()
    }
  }
}

/**
 * One connection to a server: a node-redis client that does not reconnect by itself.
 *
 * The app owns reconnection: it backs off with jitter, reports the state and refuses operations meanwhile, and a second
 * owner below it would hide all that. So the client's own reconnection and its unbounded offline queue are off, and
 * the first error of a connection is its end: a protocol error leaves replies and commands out of step, which is worse
 * than a lost connection.
 */
import { onAbort } from '../../../core/abort.ts'
import type { Timer } from '../../../core/clock.ts'
import { SluiceError, toError } from '../../../core/errors.ts'
import { describeAddress } from '../address.ts'
import type { Argument, Command, Reply } from '../backend.ts'
import { defineOperation } from '../commands/command.ts'
import { makeClient, type Client, type ConnectionSettings } from './client.ts'
import { cannotConnect, driverError, unavailable } from './errors.ts'
import type { RedisModule } from './peer.ts'

/** Bulk replies (`$` in the protocol) as Buffers. */
const BINARY = { 36: Buffer } as const

const PING: Command<void> = {
  spec: defineOperation('ping', true),
  args: ['PING'],
  parse: () => undefined,
}

/** A connection younger than this led to the replica that the address names: another would lead there again. */
const REPLICA_PATIENCE_MS = 10_000

export class Connection {
  readonly #peer: RedisModule
  readonly #settings: ConnectionSettings
  readonly #client: Client
  readonly #onLost: (error: SluiceError) => void
  readonly openedAt: number
  #state: 'opening' | 'open' | 'closed' = 'opening'
  /** Rejects when the client reports an error before the connection is open. */
  readonly #broken = Promise.withResolvers<never>()
  #heartbeat: Timer | undefined
  /** Commands sent and not yet answered. */
  inFlight = 0

  private constructor(peer: RedisModule, settings: ConnectionSettings, onLost: (error: SluiceError) => void) {
    this.#peer = peer
    this.#settings = settings
    this.#onLost = onLost
    this.openedAt = settings.clock.monotonic()
    this.#client = makeClient(peer, settings)
    this.#broken.promise.catch(() => undefined)
    this.#client.on('error', (error: unknown) => this.#lost(toError(error)))
  }

  /** Connects, authenticates, selects the database and asks for a sign of life; leaves nothing open when it rejects. */
  static async open(
    peer: RedisModule,
    settings: ConnectionSettings,
    signal: AbortSignal,
    onLost: (error: SluiceError) => void,
  ): Promise<Connection> {
    signal.throwIfAborted()
    const connection = new Connection(peer, settings, onLost)
    try {
      await connection.#open(signal)
    } catch (error) {
      connection.destroy()
      throw error
    }
    return connection
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get client(): Client {
    return this.#client
  }

  send<T>(command: Command<T>): Promise<T> {
    const { args, parse } = command
    this.inFlight += 1
    const sent =
      command.binary === true
        ? this.#client.sendCommand(args as Argument[], { typeMapping: BINARY })
        : this.#client.sendCommand(args as Argument[])
    return sent.then(
      (reply) => {
        this.inFlight -= 1
        return parse(reply as unknown as Reply)
      },
      (error: unknown) => {
        this.inFlight -= 1
        throw this.#failed(this.#known(error, command.spec.idempotent))
      },
    )
  }

  /** Between MULTI and EXEC. A command that fails has its own error; a transaction that is refused rejects. */
  async sendAtomic<T>(commands: readonly Command<T>[]): Promise<readonly (T | SluiceError)[]> {
    // Replies of one transaction come as Buffers or as text together: the driver maps types for all or none.
    const binary = commands.some((command) => command.binary === true)
    const multi = (binary ? this.#client.withTypeMapping(BINARY) : this.#client).multi()
    for (const command of commands) multi.sendCommand(command.args as Argument[])
    this.inFlight += 1
    let replies: readonly unknown[]
    try {
      replies = (await multi.exec()) as unknown as readonly unknown[]
    } catch (error) {
      if (!(error instanceof this.#peer.MultiErrorReply)) throw this.#known(error, false)
      replies = error.replies as readonly unknown[]
    } finally {
      this.inFlight -= 1
    }
    return commands.map((command, at) => {
      const reply = replies[at]
      if (reply instanceof Error) return this.#failed(this.#known(reply, false))
      return command.parse(binary && command.binary !== true ? asTexts(reply as Reply) : (reply as Reply))
    })
  }

  /** A round trip with a limit. A connection that does not answer is lost. */
  async ping(signal?: AbortSignal): Promise<void> {
    try {
      await this.#limited(this.send(PING), this.#settings.replyTimeoutMs, `no reply to PING`, signal)
    } catch (error) {
      if (signal?.aborted !== true) this.#lost(toError(error))
      throw error
    }
  }

  /** Waits for what is in flight, then closes. Destroys what is left when the signal aborts. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#state !== 'open') return this.destroy()
    this.#state = 'closed'
    this.#heartbeat?.cancel()
    const release = onAbort(signal, () => this.#client.destroy())
    try {
      await this.#client.close()
    } finally {
      release()
      this.#client.destroy()
    }
  }

  /** Ends it at once; what is in flight rejects. Reports no loss. */
  destroy(): void {
    this.#state = 'closed'
    this.#heartbeat?.cancel()
    this.#client.destroy()
  }

  async #open(signal: AbortSignal): Promise<void> {
    const where = describeAddress(this.#settings.address)
    const connecting = this.#client.connect()
    // Destroying a client while its socket connects does not stop the socket: a late one is closed here.
    const abandonLate = (): void => {
      if (this.#state === 'closed') this.#client.destroy()
    }
    void connecting.then(abandonLate, abandonLate)
    try {
      await this.#limited(
        Promise.race([connecting, this.#broken.promise]),
        this.#settings.dialTimeoutMs,
        `no connection to ${where}`,
        signal,
      )
      await this.#limited(
        Promise.race([this.send(PING), this.#broken.promise]),
        this.#settings.replyTimeoutMs,
        `no reply to PING from ${where}`,
        signal,
      )
    } catch (error) {
      if (signal.aborted) throw error
      const known = this.#known(error, true)
      // An answer of the server is named in full; a failure of the network needs the address.
      throw known.code === 'SLUICE_UNAVAILABLE' && known.details === undefined
        ? cannotConnect(this.#settings.component, where, known.cause ?? known)
        : known
    }
    // The client may have ended between its reply and this line.
    if (!this.#client.isOpen) throw unavailable(this.#settings.component, `${where} closed the connection`)
    this.#state = 'open'
    this.#beatLater()
  }

  /** A master that became a replica keeps its connections; only a new one may lead to the new master. */
  #failed(error: SluiceError): SluiceError {
    const isReplica = error.details?.['reply'] === 'READONLY'
    if (isReplica && this.#settings.clock.monotonic() - this.openedAt > REPLICA_PATIENCE_MS) this.#lost(error)
    return error
  }

  #lost(error: Error): void {
    if (this.#state === 'opening') this.#broken.reject(error)
    if (this.#state !== 'open') return
    this.destroy()
    this.#onLost(this.#known(error, true))
  }

  /** `idempotent`: may the command be sent again? */
  #known(thrown: unknown, idempotent: boolean): SluiceError {
    return driverError(thrown, { component: this.#settings.component, peer: this.#peer, idempotent })
  }

  /** TCP keep-alive finds a dead peer in minutes, and a frozen one never; a PING with a limit finds both in seconds. */
  #beatLater(): void {
    this.#heartbeat = this.#settings.clock.setTimer(
      () => {
        this.ping().then(
          () => {
            if (this.#state === 'open') this.#beatLater()
          },
          () => undefined,
        )
      },
      this.#settings.pingIntervalMs,
      { keepAlive: false },
    )
  }

  async #limited<T>(work: Promise<T>, limitMs: number, what: string, signal?: AbortSignal): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>()
    const { clock, component } = this.#settings
    const timer = clock.setTimer(
      () => {
        const message = `${component}: ${what} within ${limitMs} ms`
        reject(new SluiceError('SLUICE_TIMEOUT', message, { retryable: true }))
      },
      limitMs,
      { keepAlive: false },
    )
    const release = onAbort(signal, reject)
    try {
      return await Promise.race([work, promise])
    } finally {
      timer.cancel()
      release()
    }
  }
}

function asTexts(reply: Reply): Reply {
  if (Buffer.isBuffer(reply)) return reply.toString()
  return Array.isArray(reply) ? (reply as readonly Reply[]).map(asTexts) : reply
}

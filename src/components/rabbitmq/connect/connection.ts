/**
 * One connection to the broker, which does not reconnect by itself: the app owns reconnection, backs off with jitter and
 * refuses operations meanwhile, and a second owner below it would hide that. The first error of a connection is its end.
 *
 * A broker that is frozen, or behind a network that swallows everything, is found by its silence: both sides send a
 * heartbeat in each half of the agreed interval, so a connection on which nothing comes for five quarters of it is dead.
 */
import { onAbort, waitOrAbort } from '../../../core/abort.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import { describeAddress, type Address } from '../address.ts'
import { Corker } from './corker.ts'
import {
  FRAME_MAX,
  refuseHugeFrames,
  socketOf,
  useAgreedFrameSize,
  type DriverChannel,
  type DriverConnection,
  type RabbitModule,
} from './driver.ts'
import { driverError } from './errors.ts'
import { readTlsFiles, type TlsFiles } from '../../../config/tls-files.ts'

export interface ConnectionSettings {
  /** Name of the component, for errors. */
  readonly component: string
  readonly addresses: readonly Address[]
  readonly tls: boolean
  readonly rejectUnauthorized: boolean
  readonly tlsFiles: TlsFiles
  readonly user: string
  readonly password: string
  readonly vhost: string
  readonly dialTimeoutMs: number
  readonly heartbeatMs: number
  readonly clock: Clock
}

export interface ConnectionHooks {
  /** Once, after it was open. */
  readonly onLost: (error: SluiceError) => void
  /** The broker takes no messages on this connection, with its reason; undefined once it does again. */
  readonly onBlocked: (reason: string | undefined) => void
}

/** What one turn may gather for one write; with the 16 KiB of Node.js a burst of confirms is answered in many. */
const WRITE_BUFFER = 262_144
/** Of a quarter of the heartbeat each. */
const SILENT_QUARTERS = 5
const MAX_UNANSWERED = 2

export class BrokerConnection {
  readonly address: Address
  readonly corker: Corker
  readonly #settings: ConnectionSettings
  readonly #driver: DriverConnection
  readonly #hooks: ConnectionHooks
  #state: 'open' | 'closed' = 'open'
  #watch: Timer | undefined
  #unanswered = 0

  private constructor(
    settings: ConnectionSettings,
    address: Address,
    driver: DriverConnection,
    hooks: ConnectionHooks,
  ) {
    this.#settings = settings
    this.address = address
    this.#driver = driver
    this.#hooks = hooks
    this.corker = new Corker(socketOf(driver))
    driver.on('error', (error: unknown) => this.#lost(error))
    driver.on('connection.blocked', (reason) => hooks.onBlocked(reason === '' ? 'no reason given' : reason))
    driver.on('connection.unblocked', () => hooks.onBlocked(undefined))
    this.#listen()
  }

  /** Tries the addresses in turn, the one at `first` first. Leaves nothing open when it rejects, with the last error. */
  static async open(
    peer: RabbitModule,
    settings: ConnectionSettings,
    label: string,
    first: number,
    signal: AbortSignal,
    hooks: ConnectionHooks,
  ): Promise<BrokerConnection> {
    let failure: unknown
    const { addresses } = settings
    for (let turn = 0; turn < addresses.length; turn++) {
      signal.throwIfAborted()
      const address = addresses[(first + turn) % addresses.length]!
      try {
        const driver = await dial(peer, settings, address, label, signal)
        return new BrokerConnection(settings, address, driver, hooks)
      } catch (error) {
        if (signal.aborted) throw error
        failure = error
      }
    }
    throw failure
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** A channel of its own. Its errors are emitted by it. Rejects with the driver's error. */
  acquire(): Promise<DriverChannel> {
    return this.#driver.acquire({ emitErrorsFromChannel: true })
  }

  /** Runs `fn` on a channel of its own, which a refusal of the broker then closes without harm to anything else. */
  async withChannel<T>(what: string, fn: (channel: DriverChannel) => Promise<T>): Promise<T> {
    try {
      const channel = await this.acquire()
      let complaint: unknown
      channel.on('error', (error: unknown) => (complaint ??= error))
      try {
        return await fn(channel)
      } catch (error) {
        throw complaint ?? error
      } finally {
        await channel.close()
      }
    } catch (error) {
      throw driverError(this.#settings.component, what, error)
    }
  }

  /**
   * Resolves when a new channel was opened and closed: the broker answers. A connection that does not, twice in a row, is
   * lost: what came of its bytes may be out of step for good, though heartbeats go on.
   */
  async check(signal: AbortSignal): Promise<void> {
    try {
      await waitOrAbort(
        this.withChannel('opening a channel', async () => undefined),
        signal,
      )
      this.#unanswered = 0
    } catch (error) {
      if (signal.aborted) {
        this.#unanswered += 1
        if (this.#unanswered >= MAX_UNANSWERED) this.#lost(new Error('it opens no channel'))
      }
      throw error
    }
  }

  /** Says goodbye, and waits for that until the signal aborts. Channels must be closed. Reports no loss. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#watch?.cancel()
    const gone = Promise.withResolvers<void>()
    const release = onAbort(signal, () => gone.resolve())
    try {
      if (!signal.aborted) await Promise.race([this.#driver.close(), gone.promise])
    } finally {
      release()
      this.#driver.unsafeDestroy()
    }
  }

  /** Ends it at once; what is under way rejects. Reports no loss. */
  destroy(): void {
    this.#state = 'closed'
    this.#watch?.cancel()
    this.#driver.unsafeDestroy()
  }

  #lost(error: unknown): void {
    if (this.#state === 'closed') return
    this.destroy()
    const { component } = this.#settings
    this.#hooks.onLost(
      driverError(component, `the connection to ${describeAddress(this.address)} was lost`, error),
    )
  }

  #listen(): void {
    const socket = socketOf(this.#driver)
    if (socket === undefined) return
    const { clock, heartbeatMs } = this.#settings
    let heard = socket.bytesRead
    let silent = 0
    const look = (): void => {
      silent = socket.bytesRead === heard ? silent + 1 : 0
      heard = socket.bytesRead
      if (silent >= SILENT_QUARTERS) {
        this.#lost(new Error(`nothing was heard for ${silent * quarterMs} ms`))
        return
      }
      this.#watch = clock.setTimer(look, quarterMs, { keepAlive: false })
    }
    const quarterMs = heartbeatMs / 4
    this.#watch = clock.setTimer(look, quarterMs, { keepAlive: false })
  }
}

async function dial(
  peer: RabbitModule,
  settings: ConnectionSettings,
  address: Address,
  label: string,
  signal: AbortSignal,
): Promise<DriverConnection> {
  const { component, dialTimeoutMs, heartbeatMs, clock } = settings
  const driver = new peer.Connection({
    hostname: address.host,
    port: address.port,
    username: settings.user,
    password: settings.password,
    vhost: settings.vhost,
    connectionName: label,
    heartbeat: Math.max(1, Math.round(heartbeatMs / 1_000)),
    frameMax: FRAME_MAX,
    noDelay: true,
    connectionTimeout: dialTimeoutMs,
    acquireTimeout: dialTimeoutMs,
    // Into the options of net.connect, whose type does not know it.
    socket: { writableHighWaterMark: WRITE_BUFFER } as never,
    ...(settings.tls
      ? {
          tls: {
            host: address.host,
            rejectUnauthorized: settings.rejectUnauthorized,
            ...readTlsFiles(component, settings.tlsFiles),
          },
        }
      : {}),
  })
  refuseHugeFrames(driver)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const where = describeAddress(address)
  const timer = clock.setTimer(
    () => {
      const message = `${component}: no connection to ${where} within ${dialTimeoutMs} ms`
      reject(new SluiceError('SLUICE_TIMEOUT', message, { component, retryable: true }))
    },
    dialTimeoutMs,
    { keepAlive: false },
  )
  const release = onAbort(signal, reject)
  const failed = (error: unknown): void => reject(driverError(component, `cannot connect to ${where}`, error))
  // It stays: a connection whose client has given up may still fail, and an `error` that nobody hears ends the process.
  driver.on('error', failed)
  driver.once('connection', resolve)
  try {
    await promise
    useAgreedFrameSize(driver)
    return driver
  } catch (error) {
    driver.unsafeDestroy()
    throw error
  } finally {
    timer.cancel()
    release()
  }
}

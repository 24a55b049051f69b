/**
 * The two connections of a component. Publishing and consuming have one each: a broker that is short of memory stops
 * reading what publishers send, and an acknowledgement behind that would wait as well. Losing either is a loss of both;
 * the app connects again.
 */
import { SluiceError } from '../../../core/errors.ts'
import { BrokerConnection, type ConnectionSettings } from './connection.ts'
import { loadRabbit } from './driver.ts'

export interface Pair {
  readonly publishing: BrokerConnection
  readonly consuming: BrokerConnection
}

export interface ConnectionsOptions {
  readonly settings: ConnectionSettings
  /** What the broker shows of whose connections these are. */
  readonly label: string
  /** Makes a new pair ready for use; it is given up when this rejects. */
  readonly prepare: (pair: Pair) => Promise<void>
  readonly onOpen: (pair: Pair) => void
  /** The broker takes no messages; undefined: it does again. */
  readonly onBlocked: (reason: string | undefined) => void
  /** Nothing can be sent any more. */
  readonly onDropped: () => void
  readonly onLost: (error: SluiceError) => void
}

export class Connections {
  readonly #options: ConnectionsOptions
  #pair: Pair | undefined
  /** Each attempt begins at the next address. */
  #turn = 0

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  get pair(): Pair | undefined {
    return this.#pair
  }

  /** Throws SLUICE_UNAVAILABLE while there is none. */
  get consuming(): BrokerConnection {
    if (this.#pair !== undefined) return this.#pair.consuming
    const { component } = this.#options.settings
    throw new SluiceError('SLUICE_UNAVAILABLE', `${component}: there is no connection`, { retryable: true })
  }

  /** Leaves nothing open when it rejects. */
  async open(signal: AbortSignal): Promise<void> {
    const { settings, prepare, onBlocked, onOpen } = this.#options
    signal.throwIfAborted()
    const peer = await loadRabbit()
    signal.throwIfAborted()
    // Of a failed attempt, or of a loss: whichever connection was left over.
    this.drop()
    const opened: BrokerConnection[] = []
    const isOurs = (): boolean => this.#pair !== undefined && opened.includes(this.#pair.publishing)
    const first = this.#turn++
    const dial = async (
      role: string,
      blocked: (reason: string | undefined) => void,
    ): Promise<BrokerConnection> => {
      const label = `${this.#options.label}:${role}`
      const connection = await BrokerConnection.open(peer, settings, label, first, signal, {
        onLost: (error) => {
          if (isOurs()) this.#lost(error)
        },
        onBlocked: blocked,
      })
      opened.push(connection)
      return connection
    }
    try {
      const consuming = await dial('consume', () => undefined)
      const publishing = await dial('publish', (reason) => {
        if (isOurs()) onBlocked(reason)
      })
      const pair = (this.#pair = { publishing, consuming })
      await prepare(pair)
      signal.throwIfAborted()
      if (!publishing.isOpen || !consuming.isOpen)
        throw new SluiceError('SLUICE_UNAVAILABLE', `${settings.component}: the connection was lost`, {
          retryable: true,
        })
      onOpen(pair)
    } catch (error) {
      this.drop()
      for (const connection of opened) connection.destroy()
      throw error
    }
  }

  /** Whatever is left. */
  drop(): void {
    const pair = this.#take()
    pair?.publishing.destroy()
    pair?.consuming.destroy()
  }

  /** Says goodbye on both, until the signal aborts. */
  async close(signal: AbortSignal): Promise<void> {
    const pair = this.#take()
    await Promise.all([pair?.publishing.close(signal), pair?.consuming.close(signal)])
  }

  #take(): Pair | undefined {
    const pair = this.#pair
    this.#pair = undefined
    this.#options.onDropped()
    return pair
  }

  #lost(error: SluiceError): void {
    this.drop()
    this.#options.onLost(error)
  }
}

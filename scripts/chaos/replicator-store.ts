/** A Redis server that a run breaks in every way, and heals. */
import { createClient } from 'redis'
import { ownServer, type OwnServer } from '../../test/components/redis/own-server.ts'

export type StoreFault = 'kill' | 'freeze' | 'empty' | 'memory' | 'replica' | 'forget' | 'back' | 'cut'

export const STORE_FAULTS: readonly StoreFault[] = [
  'kill',
  'freeze',
  'empty',
  'memory',
  'replica',
  'forget',
  'back',
  'cut',
]

type Client = ReturnType<typeof createClient>

export class Store implements AsyncDisposable {
  readonly server: OwnServer
  #client: Client | undefined

  private constructor(server: OwnServer) {
    this.server = server
  }

  static async start(): Promise<Store> {
    return new Store(await ownServer())
  }

  /** Breaks it for `ms`, in turns of the run's own; it is healed when this resolves. */
  async strike(fault: StoreFault, ms: number): Promise<void> {
    const { server } = this
    switch (fault) {
      case 'kill':
        // With what was saved by 'back' before, if anything was: an old copy, or nothing.
        await this.#away()
        await server.kill()
        await pause(ms)
        await server.start()
        return
      case 'freeze':
        server.freeze()
        await pause(ms)
        server.thaw()
        return
      case 'empty':
        await this.#ask(['FLUSHALL'])
        return
      case 'memory':
        await this.#ask(['CONFIG', 'SET', 'maxmemory', '1'])
        await pause(ms)
        await this.#ask(['CONFIG', 'SET', 'maxmemory', '0'])
        return
      case 'replica':
        // Of a master that cannot be reached: it keeps its data and takes no writes.
        await this.#ask(['REPLICAOF', '127.0.0.1', '1'])
        await pause(ms)
        await this.#ask(['REPLICAOF', 'NO', 'ONE'])
        return
      case 'forget':
        await this.#ask(['SCRIPT', 'FLUSH'])
        await this.#ask(['FUNCTION', 'FLUSH'])
        return
      case 'cut':
        await this.#ask(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'])
        return
      case 'back':
        // A failover to a replica that had not seen the last writes.
        await this.#ask(['SAVE'])
        await pause(ms)
        await this.#away()
        await server.kill()
        await server.start()
        return
      default:
        fault satisfies never
    }
  }

  /** Everything of a lane: entities as text and other names. */
  async contents(base: string): Promise<{ entities: Map<string, string>; lookups: Map<string, string> }> {
    return { entities: await this.#under(`${base}e:`), lookups: await this.#under(`${base}k:`) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#away()
    this.server.thaw()
    await this.server[Symbol.asyncDispose]()
  }

  async #under(prefix: string): Promise<Map<string, string>> {
    const client = await this.#connected()
    const found = new Map<string, string>()
    for await (const keys of client.scanIterator({
      MATCH: `${prefix.replace(/[{}[\]?*]/g, '\\$&')}*`,
      COUNT: 1_000,
    })) {
      if (keys.length === 0) continue
      const values = await client.mGet(keys)
      for (const [at, key] of keys.entries()) {
        const value = values[at]
        if (typeof value === 'string') found.set(key.slice(prefix.length), value)
      }
    }
    return found
  }

  async #ask(command: readonly string[]): Promise<void> {
    const client = await this.#connected()
    await client.sendCommand([...command])
  }

  async #connected(): Promise<Client> {
    if (this.#client?.isReady === true) return this.#client
    await this.#away()
    const client = createClient({
      url: `redis://127.0.0.1:${this.server.port}`,
      socket: { reconnectStrategy: false, connectTimeout: 5_000 },
    })
    client.on('error', () => {})
    await client.connect()
    this.#client = client as Client
    return this.#client
  }

  async #away(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (client?.isOpen === true) client.destroy()
    await Promise.resolve()
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

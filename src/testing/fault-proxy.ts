/**
 * A TCP proxy with a bad network in it, for tests: put it between a client and a real server and change its faults while
 * both run.
 *
 *     await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: 6379 } })
 *     client.connect(proxy.port)
 *     proxy.blackhole()                      // all connections, the coming ones too
 *     proxy.connections[0]?.latency('50ms')  // one of them
 *     proxy.heal()
 *
 * It listens on loopback only. What it cannot do is lose the first packet of a connection: the kernel always accepts.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import {
  noCounts,
  openConnection,
  type FaultConnection,
  type FaultCounts,
  type FaultTarget,
  type LiveConnection,
} from './fault-connection.ts'
import { copyFaults, faultVerbs, healthy, type FaultVerbs } from './fault-settings.ts'
import { seededRandom } from './seeded-random.ts'
import { SluiceError } from '../core/errors.ts'

export interface FaultProxyOptions {
  /** The real server: an address, or the path of a Unix socket. */
  readonly target: FaultTarget
  /** Port on 127.0.0.1. @default 0, any free one */
  readonly port?: number
  /** Where jitter and corruption are drawn from. @default 1 */
  readonly seed?: number
}

export interface FaultProxy extends FaultVerbs, AsyncDisposable {
  readonly host: string
  readonly port: number
  /** `host:port`. */
  readonly address: string
  readonly counts: Readonly<FaultCounts>
  /** Those that are open, the oldest first. */
  readonly connections: readonly FaultConnection[]
  /** Stops listening: new connections get ECONNREFUSED, those that are open go on. */
  refuse(): Promise<void>
  /** Listens again, on the same port. */
  accept(): Promise<void>
  /** Resolves with the next connection that is taken. */
  nextConnection(): Promise<FaultConnection>
  close(): Promise<void>
}

const HOST = '127.0.0.1'

/** Starts a proxy that does nothing wrong yet. Rejects when the port cannot be opened. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { target } = options
  const random = seededRandom(options.seed ?? 1)
  const counts = noCounts()
  const state = healthy()
  const open = new Set<LiveConnection>()
  let nextConnection = Promise.withResolvers<FaultConnection>()
  let isClosed = false

  const take = (client: Socket): void => {
    counts.accepted++
    counts.open++
    const connection = openConnection({
      id: counts.accepted,
      client,
      target,
      state: copyFaults(state),
      counts,
      random,
    })
    open.add(connection)
    void connection.closed.then(() => {
      counts.open--
      open.delete(connection)
    })
    nextConnection.resolve(connection)
    nextConnection = Promise.withResolvers<FaultConnection>()
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true }, take)
  const port = await listen(server, options.port ?? 0)

  const every = (apply: (verbs: FaultVerbs) => void): void => {
    apply(future)
    for (const connection of open) apply(connection)
  }
  const future = faultVerbs(state, () => {})
  const refuse = async (): Promise<void> => {
    if (!server.listening) return
    // Resolves only when every connection is gone, so it is not waited for; the port is free at once.
    server.close()
  }
  const proxy: FaultProxy = {
    host: HOST,
    port,
    address: `${HOST}:${port}`,
    counts,
    get connections() {
      return [...open]
    },
    heal: () => every((verbs) => verbs.heal()),
    latency: (by, more) => every((verbs) => verbs.latency(by, more)),
    bandwidth: (bytes, more) => every((verbs) => verbs.bandwidth(bytes, more)),
    slice: (bytes, more) => every((verbs) => verbs.slice(bytes, more)),
    blackhole: (direction) => every((verbs) => verbs.blackhole(direction)),
    drop: (direction) => every((verbs) => verbs.drop(direction)),
    halfOpen: (direction) => every((verbs) => verbs.halfOpen(direction)),
    reset(more) {
      if (more?.afterBytes !== undefined) future.reset(more)
      for (const connection of open) connection.reset(more)
    },
    slowClose: (by, more) => every((verbs) => verbs.slowClose(by, more)),
    corrupt: (more) => every((verbs) => verbs.corrupt(more)),
    intercept: (hook, direction) => every((verbs) => verbs.intercept(hook, direction)),
    refuse,
    async accept() {
      if (isClosed) throw new SluiceError('SLUICE_CLOSED', 'the fault proxy was closed')
      if (!server.listening) await listen(server, port)
    },
    nextConnection: () => nextConnection.promise,
    async close() {
      isClosed = true
      await refuse()
      const gone = [...open].map((connection) => connection.closed)
      for (const connection of open) connection.destroy()
      await Promise.all(gone)
    },
    [Symbol.asyncDispose]: () => proxy.close(),
  }
  return proxy
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, HOST)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') {
    throw new SluiceError('SLUICE_INTERNAL', 'the fault proxy listens on no port')
  }
  return address.port
}

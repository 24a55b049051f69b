/** One proxied connection: two sockets and a faulty link each way. */
import { connect, type Socket, type TcpNetConnectOpts, type IpcNetConnectOpts } from 'node:net'
import { FaultLink } from './fault-link.ts'
import { faultVerbs, type FaultState, type FaultVerbs } from './fault-settings.ts'

export type FaultTarget = Pick<TcpNetConnectOpts, 'host' | 'port'> | Pick<IpcNetConnectOpts, 'path'>

/** What happened so far. */
export interface FaultCounts {
  /** Connections taken. */
  accepted: number
  /** Connections open at the moment. */
  open: number
  /** Connections that the proxy reset. */
  resets: number
  /** Connections that ended because the target could not be reached. */
  unreachable: number
  bytesUp: number
  bytesDown: number
  droppedBytes: number
  corruptedBytes: number
}

export function noCounts(): FaultCounts {
  return {
    accepted: 0,
    open: 0,
    resets: 0,
    unreachable: 0,
    bytesUp: 0,
    bytesDown: 0,
    droppedBytes: 0,
    corruptedBytes: 0,
  }
}

/** A connection through the proxy, with faults of its own on top of those that it began with. */
export interface FaultConnection extends FaultVerbs {
  /** 1 for the first that was taken. */
  readonly id: number
}

export interface LiveConnection extends FaultConnection {
  /** Resolves when neither side is open any more. */
  readonly closed: Promise<void>
  destroy(): void
}

interface ConnectionOptions {
  readonly id: number
  readonly client: Socket
  readonly target: FaultTarget
  /** Its own from here on. */
  readonly state: FaultState
  readonly counts: FaultCounts
  readonly random: () => number
}

export function openConnection(options: ConnectionOptions): LiveConnection {
  const { id, client, target, state, counts, random } = options
  const ended = new AbortController()
  const server = connect({ ...target, allowHalfOpen: true, noDelay: true } as TcpNetConnectOpts)
  client.setNoDelay(true)

  const reset = (): void => {
    if (ended.signal.aborted) return
    counts.resets++
    client.resetAndDestroy()
    // Only TCP knows a reset; a Unix socket just ends.
    if ('path' in target) server.destroy()
    else server.resetAndDestroy()
  }
  const allow = (bytes: number): number => {
    const allowed = Math.min(bytes, state.resetAfterBytes)
    state.resetAfterBytes -= allowed
    return allowed
  }
  const common = {
    random,
    signal: ended.signal,
    allow,
    reset,
    onDropped: (bytes: number) => void (counts.droppedBytes += bytes),
    onCorrupted: () => void counts.corruptedBytes++,
  }
  const up = new FaultLink({
    ...common,
    way: 'up',
    source: client,
    sink: server,
    faults: state.up,
    onPassed: (bytes) => void (counts.bytesUp += bytes),
  })
  const down = new FaultLink({
    ...common,
    way: 'down',
    source: server,
    sink: client,
    faults: state.down,
    onPassed: (bytes) => void (counts.bytesDown += bytes),
  })
  const destroy = (): void => {
    client.destroy()
    server.destroy()
  }
  // A side that died is passed on as its end, by its link and so through the faults; errors themselves say no more.
  client.on('error', () => {})
  let isReached = false
  server.once('connect', () => void (isReached = true))
  server.on('error', () => {
    if (!isReached) counts.unreachable++
  })
  const closed = Promise.all([closeOf(client), closeOf(server)]).then(() => ended.abort())
  void up.run()
  void down.run()
  const verbs = faultVerbs(state, () => {
    if (state.resetAfterBytes <= 0) reset()
    up.changed()
    down.changed()
  })
  if (state.resetAfterBytes <= 0) reset()
  return { id, ...verbs, closed, destroy }
}

function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()))
}

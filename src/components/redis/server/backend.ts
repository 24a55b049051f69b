/** Redis on a server. */
import { SluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import { describeAddress } from '../address.ts'
import type { Argument, Backend, ScriptCall } from '../backend.ts'
import type { Connection } from './connection.ts'
import { Connections, type ConnectionsOptions } from './connections.ts'
import { loadRedis, type RedisModule } from './peer.ts'
import { probe } from './probe.ts'
import { Subscriber } from './subscriber.ts'

export interface ServerBackendOptions extends ConnectionsOptions {
  readonly random: () => number
  readonly log: Logger
}

export function createServerBackend(options: ServerBackendOptions): Backend {
  const { settings } = options
  const connections = new Connections(options)
  const subscriber = new Subscriber({
    settings: { ...settings, clientName: `${settings.clientName}:subscriber` },
    random: options.random,
    log: options.log,
  })
  let peer: RedisModule | undefined
  return {
    kind: 'server',
    open: async (signal) => {
      if (peer === undefined) {
        await probe(settings, signal)
        peer = await loadRedis()
      }
      await connections.open(peer, signal)
      subscriber.start()
    },
    check: async (signal) => connections.pick().ping(signal),
    close: async (signal) => {
      await Promise.all([subscriber.close(), connections.close(signal)])
    },
    send: (command) => connections.pick().send(command),
    sendMany: async (commands, atomic) => {
      const connection = connections.pick()
      if (atomic) return connection.sendAtomic(commands)
      return Promise.all(
        commands.map((command) => connection.send(command).catch((error: SluiceError) => error)),
      )
    },
    runScript: async (call) => evaluate(connections.pick(), call),
    listen: (listener) => subscriber.listen(listener),
    inspect: () => ({
      backend: 'server',
      address: describeAddress(settings.address),
      connections: connections.size,
      inFlight: connections.inFlight,
      listeners: subscriber.size,
      subscriptions: subscriber.state,
    }),
  }
}

/** By its hash, and with its text only where the server does not know it: after a restart, or for the first time. */
async function evaluate<T>(connection: Connection, call: ScriptCall<T>): Promise<T> {
  const { spec, parse, script } = call
  const rest: Argument[] = [String(call.keys.length), ...call.keys, ...call.args]
  try {
    return await connection.send({ spec, parse, args: ['EVALSHA', script.sha1, ...rest] })
  } catch (error) {
    if (!(error instanceof SluiceError) || error.details?.['reply'] !== 'NOSCRIPT') throw error
    return connection.send({ spec, parse, args: ['EVAL', script.lua, ...rest] })
  }
}

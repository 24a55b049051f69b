/**
 * Redis in the memory of this process: the default where no address is set. The same commands with the same replies,
 * for one process and for as long as it lives. Lua does not run here; scripts with a native function do.
 */
import { SluiceError, isSluiceError } from '../../../core/errors.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import type { Argument, Backend, Command, Reply } from '../backend.ts'
import { Channels } from './channels.ts'
import { Interpreter } from './interpreter.ts'
import { MemoryStore, type StoreLimits } from './store.ts'

const SWEEP_EVERY_MS = 1_000
const SWEEP_KEYS = 1_000

export function createMemoryBackend(component: string, limits: StoreLimits, clock: Clock): Backend {
  const store = new MemoryStore(limits, clock)
  const channels = new Channels()
  const interpreter = new Interpreter(store, () => clock.now(), channels.commands)
  let sweeping: Timer | undefined
  let closed = false

  const sweepLater = (): void => {
    sweeping = clock.setTimer(
      () => {
        store.sweep(SWEEP_KEYS)
        sweepLater()
      },
      SWEEP_EVERY_MS,
      { keepAlive: false },
    )
  }
  const assertOpen = (): void => {
    if (closed) throw new SluiceError('SLUICE_CLOSED', `${component} was closed`)
  }
  const execute = <T>(command: Command<T>): T => {
    assertOpen()
    return command.parse(converted(interpreter.execute(checked(command.args)), command.binary === true))
  }

  return {
    kind: 'memory',
    open: async (signal) => {
      signal.throwIfAborted()
      if (sweeping === undefined) sweepLater()
    },
    check: async () => assertOpen(),
    close: () => {
      sweeping?.cancel()
      closed = true
      channels.clear()
      store.clear()
      return Promise.resolve()
    },
    send: (command) => execute(command),
    sendMany: async (commands) => {
      assertOpen()
      // Refused as a whole before anything runs, as a server refuses a transaction that it cannot queue.
      for (const command of commands) checked(command.args)
      return commands.map((command) => {
        try {
          return execute(command)
        } catch (error) {
          if (isSluiceError(error)) return error
          throw error
        }
      })
    },
    runScript: async ({ script, keys, args, parse }) => {
      assertOpen()
      return parse(converted(interpreter.runScript(script, keys, checked(args)), false))
    },
    listen: (listener) => channels.listen(listener),
    inspect: () => ({
      backend: 'memory',
      ...store.facts,
      maxEntries: limits.maxEntries,
      maxBytes: limits.maxBytes,
      listeners: channels.size,
    }),
  }
}

/** The encoder of the wire refuses what is neither text nor bytes; so does the memory. */
function checked(args: readonly Argument[]): readonly Argument[] {
  for (const [at, value] of args.entries()) {
    if (typeof value !== 'string' && !Buffer.isBuffer(value)) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `argument ${at} of a command: expected text or a Buffer, got ${typeof value}`,
      )
    }
  }
  return args
}

/** Bulk replies as text, or as Buffers where those were asked for. */
function converted(reply: Reply, binary: boolean): Reply {
  if (reply === null || typeof reply === 'number') return reply
  if (typeof reply === 'string') return binary ? Buffer.from(reply) : reply
  if (Buffer.isBuffer(reply)) return binary ? Buffer.from(reply) : reply.toString()
  return reply.map((part) => converted(part, binary))
}

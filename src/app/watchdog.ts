/**
 * A thread that ends the process when the main one cannot: a timer of a blocked event loop never fires.
 *
 * It watches a heartbeat of the main thread. A loop that does not turn for a second is reported with the place where it
 * hangs; one that does not turn for `maxStallMs`, or that has not ended the process by the deadline of a shutdown, is
 * ended with code 70 and the name of the step under way.
 */
import type * as Inspector from 'node:inspector'
import type * as Threads from 'node:worker_threads'
import { EXIT } from './shutdown.ts'
import type { Logger } from '../telemetry/log.ts'

export interface Watchdog {
  /** From now on the process must be over in `ms`. A later call moves it only closer. */
  deadline(ms: number): void
  /** What is being done, for the last line. */
  step(name: string): void
  close(): void
}

/** What the thread is started with. */
export interface WatchdogData {
  /** One counter; the main thread adds to it. */
  readonly heartbeat: SharedArrayBuffer
  readonly heartbeatMs: number
  readonly maxStallMs: number
  /** Milliseconds that the main thread has to end by itself after its deadline. */
  readonly graceMs: number
  readonly exitCode: number
}

export type ToWatchdog =
  { readonly kind: 'deadline'; readonly ms: number } | { readonly kind: 'step'; readonly name: string }

export type FromWatchdog =
  | { readonly kind: 'stalled'; readonly ms: number; readonly stack: readonly string[] }
  | { readonly kind: 'exit'; readonly code: number }

const HEARTBEAT_MS = 250
const GRACE_MS = 500

/** The thread's own modules are not for the way to the first request, so they are taken when it is started. */
export function createWatchdog(options: { readonly maxStallMs: number; readonly log: Logger }): Watchdog {
  const { log } = options
  const { url: inspectorUrl }: typeof Inspector = process.getBuiltinModule('node:inspector')
  const { Worker }: typeof Threads = process.getBuiltinModule('node:worker_threads')
  const heartbeat = new SharedArrayBuffer(4)
  const beats = new Int32Array(heartbeat)
  const data: WatchdogData = {
    heartbeat,
    heartbeatMs: HEARTBEAT_MS,
    // Whoever stands at a breakpoint wants to stay there.
    maxStallMs: inspectorUrl() === undefined ? options.maxStallMs : Infinity,
    graceMs: GRACE_MS,
    exitCode: EXIT.deadline,
  }
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./watchdog-thread.${extension}`, import.meta.url), {
    workerData: data,
    name: 'sluice-watchdog',
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
  })
  const timer = setInterval(() => void Atomics.add(beats, 0, 1), HEARTBEAT_MS).unref()
  worker.unref()
  worker.on('error', (error) =>
    log.error({ err: error }, 'the watchdog thread failed; shutdown goes on without it'),
  )
  worker.on('message', (message: FromWatchdog) => {
    if (message.kind === 'exit') process.exit(message.code)
    else log.error({ durationMs: message.ms, stack: message.stack }, 'the event loop was blocked')
  })
  const send = (message: ToWatchdog): void => worker.postMessage(message)
  return {
    deadline: (ms) => send({ kind: 'deadline', ms }),
    step: (name) => send({ kind: 'step', name }),
    close: () => {
      clearInterval(timer)
      void worker.terminate()
    },
  }
}

/**
 * How long single things take to their handler in another process: ten milliseconds apart, so that the system is idle
 * between them. The program says once that it is ready, and then the id and the time of each that it handles.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

export interface WaitOptions {
  /** That handles them. */
  readonly program: string
  readonly args: readonly string[]
  readonly count: number
  readonly send: (id: number) => PromiseLike<unknown>
  /** When the time begins: with the call that sends it, or when that is acknowledged. */
  readonly since: 'call' | 'acknowledged'
}

export const APART_MS = 10
/** Not counted. */
const WARM_UP = 50
const READY_MS = 60_000
/** For the last one to be heard of. */
const LAST_MS = 20_000

/** Milliseconds of each, sorted. */
export async function waitsOf(options: WaitOptions): Promise<readonly number[]> {
  const { program, args, send, since } = options
  const count = options.count + WARM_UP
  const child = fork(program, args, {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  try {
    await once(child, 'message', { signal: AbortSignal.timeout(READY_MS) })
    const heardAt = new Map<number, number>()
    const all = Promise.withResolvers<void>()
    child.on('message', ({ id, at }: { readonly id: number; readonly at: number }) => {
      heardAt.set(id, at)
      if (heardAt.size === count) all.resolve()
    })
    child.once('exit', () => all.reject(new Error(`${program} ended`)))
    const sentAt: number[] = []
    for (let id = 0; id < count; id += 1) {
      await sleep(APART_MS)
      const calledAt = now()
      await send(id)
      sentAt.push(since === 'call' ? calledAt : now())
    }
    const limit = setTimeout(
      () => all.reject(new Error(`${program}: ${heardAt.size} of ${count} were heard of`)),
      LAST_MS,
    )
    await all.promise.finally(() => clearTimeout(limit))
    return [...heardAt]
      .filter(([id]) => id >= WARM_UP)
      .map(([id, at]) => Math.max(0, at - sentAt[id]!)) // It may be handled before the acknowledgement is here.
      .sort((a, b) => a - b)
  } finally {
    child.removeAllListeners('exit')
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
}

/** Comparable over processes. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

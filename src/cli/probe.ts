/** Connects one component as an app would, asks it for a sign of life, and closes it. */
import type { ComponentBase, ComponentContext, ComponentDefinition } from '../app/component.ts'
import type { ComponentConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { WorkerPool } from '../pool/worker-pool.ts'
import { createContext } from './component-context.ts'
import { versionOf } from './version-of.ts'

export interface Probe {
  /** Milliseconds that connecting took. */
  readonly connectMs: number
  /** Milliseconds of the fastest of a few checks. */
  readonly latencyMs: number
  readonly version: string | undefined
}

const CHECKS = 5
const CHECK_LIMIT_MS = 5_000
const CLOSE_LIMIT_MS = 5_000

/** Rejects with what is wrong; whatever was opened is closed. */
export async function probe(
  name: string,
  definition: ComponentDefinition<ComponentBase>,
  config: ComponentConfig,
  appName: string,
): Promise<Probe> {
  const pool = new WorkerPool({ name, workers: config.workers, maxWaiting: 100 })
  let connected = false
  const context = createContext(name, definition, config, appName, pool, () => connected)
  const component = definition.create(context as ComponentContext<never>)
  try {
    const connectMs = await timed(() =>
      within('connect', config.connectTimeoutMs, (signal) => component.connect(signal, () => {})),
    )
    connected = true
    const latencies: number[] = []
    for (let count = 0; count < CHECKS; count++) {
      latencies.push(await timed(() => within('check', CHECK_LIMIT_MS, (signal) => component.check(signal))))
    }
    const version = await versionOf(definition.kind, component.api)
    return { connectMs, latencyMs: Math.min(...latencies), version }
  } finally {
    // What is wrong was found already; a failure to close would only hide it.
    await within('close', CLOSE_LIMIT_MS, (signal) => component.close(signal)).catch(() => {})
    await pool.close().catch(() => {})
  }

  function within(what: string, ms: number, fn: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const controller = new AbortController()
    const text = `"${name}: ${what}" timed out after ${ms} ms`
    const timer = systemClock.setTimer(
      () => controller.abort(new SluiceError('SLUICE_TIMEOUT', text, { component: name })),
      ms,
    )
    return fn(controller.signal).finally(() => timer.cancel())
  }
}

async function timed(fn: () => Promise<void>): Promise<number> {
  const start = systemClock.monotonic()
  try {
    await fn()
  } catch (error) {
    throw toError(error)
  }
  return Math.round((systemClock.monotonic() - start) * 100) / 100
}

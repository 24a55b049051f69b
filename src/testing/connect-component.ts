/**
 * One component without an app: its configuration read, its context built and its life driven by hand, with the real
 * operations, metrics and worker pool.
 *
 *     await using redis = await connectComponent(redis({ addr: '127.0.0.1:6379' }))
 *     await redis.api.set('key', 'value')
 *
 * Nothing happens behind the test's back: no health check runs by itself, and a lost connection is only recorded.
 */
import type { Component, ComponentBase, ComponentDefinition } from '../app/component.ts'
import { createContext } from '../app/context.ts'
import type { Phase } from '../app/phase.ts'
import { loadConfig } from '../config/load.ts'
import type { Fields } from '../config/section.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { silentLogger, type Logger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { Metrics } from '../telemetry/metric.ts'

export interface OpenComponentOptions {
  /** What the app would call it. @default the definition's kind */
  readonly name?: string
  /** @default 'test' */
  readonly appName?: string
  /** Values of its section, as sluice.yaml would hold them; code given to the definition wins. @default {} */
  readonly config?: Readonly<Record<string, unknown>>
  /** Environment variables; those of the process are not read. @default {} */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** @default the system's */
  readonly clock?: Clock
  /** @default Math.random */
  readonly random?: () => number
  /** @default swallows everything */
  readonly log?: Logger
  /** @default a registry of its own */
  readonly metrics?: Metrics
  /** APIs of the components that it requires, by kind. @default none */
  readonly required?: Readonly<Record<string, ComponentBase>>
}

/** A component and the hands that an app would lay on it. */
export interface OpenComponent<Api extends ComponentBase> extends AsyncDisposable {
  readonly api: Api
  readonly component: Component<Api>
  readonly metrics: Metrics
  readonly phase: Phase['state']
  /** Errors that the component handed to `lost`, the oldest first. */
  readonly losses: readonly Error[]
  /** What `connect` said about its progress. */
  readonly progress: readonly { readonly fraction: number; readonly note: string | undefined }[]
  /** Connects, with the definition's limit; also again after a failure or a loss. */
  connect(signal?: AbortSignal): Promise<void>
  check(signal?: AbortSignal): Promise<void>
  /** Closes component and pool, once, within ten seconds unless `signal` says otherwise. */
  close(signal?: AbortSignal): Promise<void>
}

const CLOSE_LIMIT_MS = 10_000

/** Creates the component without connecting it. Rejects with SLUICE_CONFIG for wrong values. */
export async function openComponent<Api extends ComponentBase, F extends Fields>(
  definition: ComponentDefinition<Api, F>,
  options: OpenComponentOptions = {},
): Promise<OpenComponent<Api>> {
  const { name = definition.kind, metrics = createMetrics() } = options
  const config = await loadConfig({
    components: { [name]: definition as ComponentDefinition<ComponentBase> },
    overrides: options.config === undefined ? {} : { [name]: options.config },
    env: options.env ?? {},
    file: false,
  })
  const settings = config.components[name]
  if (settings === undefined) throw new SluiceError('SLUICE_INTERNAL', `no configuration of "${name}"`)

  const losses: Error[] = []
  const progress: { fraction: number; note: string | undefined }[] = []
  /** Of a connection that was lost before connect had answered. */
  let early: Error[] = []
  let phase: Phase = { state: 'waiting', needs: [] }
  const runner = {
    get connected() {
      return phase.state === 'ready'
    },
    get phase() {
      return phase
    },
    lost(error: Error): void {
      if (phase.state === 'connecting') early.push(error)
      if (phase.state !== 'ready') return
      losses.push(error)
      phase = { state: 'degraded', connected: false, error }
    },
  }
  const { context, release } = createContext({
    name,
    appName: options.appName ?? 'test',
    definition: definition as ComponentDefinition<ComponentBase>,
    settings,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    log: options.log ?? silentLogger,
    metrics,
    runner: () => runner,
    inspect: () => component.inspect(),
    required: (kind) => options.required?.[kind],
  })
  const component: Component<Api> = definition.create(context as Parameters<typeof definition.create>[0])
  const stopping = new AbortController()
  let connecting: Promise<void> | undefined
  let closing: Promise<void> | undefined
  let attempt = 0

  const connectOnce = async (signal: AbortSignal): Promise<void> => {
    phase = { state: 'connecting', attempt: ++attempt }
    early = []
    try {
      await component.connect(signal, (fraction, note) => void progress.push({ fraction, note }))
      if (early.length > 0) {
        losses.push(early[0]!)
        throw early[0]!
      }
      if (!stopping.signal.aborted) phase = { state: 'ready' }
    } catch (error) {
      if (!stopping.signal.aborted) phase = { state: 'waiting', needs: [] }
      throw error
    }
  }
  const closeOnce = async (signal: AbortSignal): Promise<void> => {
    phase = { state: 'closing' }
    stopping.abort(new SluiceError('SLUICE_SHUTDOWN', `${name}: the test closes it`))
    await connecting?.catch(() => {})
    try {
      await component.close(signal)
    } finally {
      phase = { state: 'closed' }
      await release()
    }
  }
  const open: OpenComponent<Api> = {
    api: component.api,
    component,
    metrics,
    losses,
    progress,
    get phase() {
      return phase.state
    },
    connect(signal) {
      if (stopping.signal.aborted)
        return Promise.reject(new SluiceError('SLUICE_CLOSED', `${name} was closed`))
      const limit = AbortSignal.timeout(settings.connectTimeoutMs)
      connecting = connectOnce(AbortSignal.any([limit, stopping.signal, ...(signal ? [signal] : [])]))
      return connecting
    },
    check: (signal) => component.check(signal ?? AbortSignal.timeout(settings.connectTimeoutMs)),
    close(signal) {
      closing ??= closeOnce(signal ?? AbortSignal.timeout(CLOSE_LIMIT_MS))
      return closing
    },
    [Symbol.asyncDispose]: () => open.close(),
  }
  return open
}

/** `openComponent`, connected. A connect that fails closes the component and rejects with its error. */
export async function connectComponent<Api extends ComponentBase, F extends Fields>(
  definition: ComponentDefinition<Api, F>,
  options: OpenComponentOptions = {},
): Promise<OpenComponent<Api>> {
  const open = await openComponent(definition, options)
  try {
    await open.connect()
  } catch (error) {
    await open.close().catch(() => {})
    throw error
  }
  return open
}

/** The events component: the API that exists before connect, and the runtime that connect makes. */
import type { Component, ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import { onAbort } from '../core/abort.ts'
import { invalidArgument, SluiceError, toError } from '../core/errors.ts'
import type { OperationSpec } from '../telemetry/operate.ts'
import type {
  BatchSubscribeOptions,
  EventBatchHandler,
  EventHandler,
  EventInput,
  Events,
  SubscribeOptions,
  Subscription,
} from './api.ts'
import { encodeEvent, type EncodedEvent } from './encode.ts'
import type { EventType } from './event.ts'
import type { EventsRuntime } from './runtime.ts'
import type { EventsConfig } from './section.ts'
import { subscriptionSpec, type SubscriptionSpec } from './spec.ts'

const PUBLISH: OperationSpec = Object.freeze({ name: 'publish', idempotent: false })
const PUBLISH_MANY: OperationSpec = Object.freeze({ name: 'publishMany', idempotent: false })
const ONCE: OperationSpec = Object.freeze({ name: 'once', idempotent: false })
const REPLAY: OperationSpec = Object.freeze({ name: 'replay', idempotent: false })
const REPLAYS: OperationSpec = Object.freeze({ name: 'replays', idempotent: true })
const CANCEL_REPLAY: OperationSpec = Object.freeze({ name: 'cancelReplay', idempotent: true })
const PAUSE: OperationSpec = Object.freeze({ name: 'pause', idempotent: true })
const RESUME: OperationSpec = Object.freeze({ name: 'resume', idempotent: true })
const LAG: OperationSpec = Object.freeze({ name: 'lag', idempotent: true })
const TOPICS: OperationSpec = Object.freeze({ name: 'topics', idempotent: true })
const LIST_DEAD: OperationSpec = Object.freeze({ name: 'listDead', idempotent: true })
const REDRIVE: OperationSpec = Object.freeze({ name: 'redrive', idempotent: false })
const DROP_DEAD: OperationSpec = Object.freeze({ name: 'dropDead', idempotent: false })
const MAX_MANY = 100_000
const TIMEOUT_MS = 30_000
/** A redrive waits for its canaries to be delivered. */
const REDRIVE_LIMIT = '10m'

/** A subscription that was asked for. */
interface Wanted {
  readonly spec: SubscriptionSpec
  /** Settles when its place in the log is known. */
  readonly placed: PromiseWithResolvers<void>
}

export function createEvents(context: ComponentContext<EventsConfig>): Component<Events> {
  const { config, name, log } = context
  const specs = new Map<string, Wanted>()
  let runtime: EventsRuntime | undefined
  let release: (() => Promise<void>) | undefined
  const operations = context.operations({
    timeoutMs: TIMEOUT_MS,
    maxConcurrent: 10_000,
    maxWaiting: 100_000,
    // The database component has one of its own.
    breakerThreshold: 0,
    breakerResetMs: 0,
    retries: 0,
  })
  const running = (): EventsRuntime => {
    if (runtime !== undefined) return runtime
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
      component: name,
      retryable: true,
    })
  }

  const beginLater = (open: EventsRuntime, { spec, placed }: Wanted): void => {
    open.subscribeLater(spec).then(placed.resolve, (error: unknown) => {
      placed.reject(error)
      if (specs.has(spec.name))
        log.error({ err: toError(error), subscription: spec.name }, `${name}: a subscription cannot begin`)
    })
  }

  const subscribe = (
    what: EventType<unknown, unknown> | readonly EventType<unknown, unknown>[] | string,
    subscription: string,
    handler: EventHandler<unknown> | EventBatchHandler<unknown>,
    options: SubscribeOptions | BatchSubscribeOptions = {},
  ): Subscription => {
    const spec = subscriptionSpec(what, subscription, handler, options, config.concurrency)
    if (specs.has(spec.name)) {
      throw invalidArgument(`subscription "${spec.name}"`, 'one handler in a process', 'a second one')
    }
    const placed = Promise.withResolvers<void>()
    // Nobody has to ask.
    placed.promise.catch(() => {})
    const wanted: Wanted = { spec, placed }
    specs.set(spec.name, wanted)
    if (runtime !== undefined) beginLater(runtime, wanted)
    const stop = async (): Promise<void> => {
      placed.reject(new SluiceError('SLUICE_CLOSED', `subscription "${spec.name}" was stopped`))
      if (specs.get(spec.name) === wanted) specs.delete(spec.name)
      await runtime?.unsubscribe(spec)
    }
    return {
      name: spec.name,
      get shards() {
        return runtime?.subscriber(spec.name)?.shards ?? 0
      },
      ready: () => placed.promise,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  }

  const api: Events = {
    ...context.base,
    publish: (type, data, options = {}) =>
      operations.run(
        PUBLISH,
        async (call) => {
          const event = await encodeEvent(type, { ...options, data }, config.maxBodySize)
          return running().publisher.publish(event, options.tx, call.signal)
        },
        { signal: options.signal },
      ),
    publishMany: (type, items, options = {}) =>
      operations.run(
        PUBLISH_MANY,
        async () => {
          checkMany(items)
          const events = await encodeAll(type, items, config.maxBodySize)
          return running().publisher.publishMany(events, options.tx)
        },
        { signal: options.signal },
      ),
    subscribe: subscribe as Events['subscribe'],
    once: (tx, reader, eventId, options = {}) =>
      operations.run(ONCE, () => running().queries.once(tx, reader, eventId, options)),
    replay: (subscription, options) =>
      operations.run(REPLAY, (call) => running().queries.replay(subscription, options, call.signal)),
    replays: (subscription) => operations.run(REPLAYS, () => running().queries.replays(subscription)),
    cancelReplay: (id) => operations.run(CANCEL_REPLAY, () => running().queries.cancelReplay(id)),
    pause: (subscription, reason) =>
      operations.run(PAUSE, () => running().queries.pause(subscription, reason)),
    resume: (subscription) => operations.run(RESUME, () => running().queries.resume(subscription)),
    lag: () => operations.run(LAG, () => running().queries.lag()),
    topics: () => operations.run(TOPICS, () => running().queries.topics()),
    deadLetters: Object.freeze({
      list: (filter = {}) => operations.run(LIST_DEAD, () => running().queries.listDead(filter)),
      get: (id) =>
        operations.run(LIST_DEAD, async () => (await running().queries.listDead({ ids: [id] }))[0]),
      redrive: (options = {}) =>
        operations.run(REDRIVE, (call) => running().queries.redrive(options, call.signal), {
          timeout: REDRIVE_LIMIT,
        }),
      drop: (filter) => operations.run(DROP_DEAD, () => running().queries.dropDead(filter)),
    } satisfies Events['deadLetters']),
  }

  return {
    api,
    async connect(signal) {
      const [{ engineOf, releaseEngine }, { EventsRuntime }] = await Promise.all([
        import('../engine/engine.ts'),
        import('./runtime.ts'),
      ])
      signal.throwIfAborted()
      const engine = engineOf({
        db: context.required('postgres') as Postgres,
        clock: context.clock,
        random: context.random,
        log,
        metrics: context.metrics,
        appName: context.appName,
        notify: config.notify,
      })
      let opened: EventsRuntime | undefined
      try {
        await engine.open(signal)
        opened = new EventsRuntime(engine, config, name, log)
        await opened.open()
        for (const { spec, placed } of specs.values()) {
          signal.throwIfAborted()
          await opened.subscribe(spec)
          placed.resolve()
        }
        signal.throwIfAborted()
      } catch (error) {
        await opened?.close(AbortSignal.abort(error)).catch(() => {})
        await releaseEngine(engine)
        throw error
      }
      release = () => releaseEngine(engine)
      runtime = opened
    },
    check: async (signal) => {
      running()
      const db = context.required('postgres') as Postgres
      await db.queryOne('select 1 as alive', [], { signal, label: 'sluice.check' })
    },
    stopIntake: async (signal) => {
      await runtime?.stopIntake(shutdownSignal(signal))
    },
    async close(signal) {
      const open = runtime
      runtime = undefined
      for (const { spec, placed } of specs.values()) {
        placed.reject(new SluiceError('SLUICE_CLOSED', `subscription "${spec.name}": ${name} was closed`))
      }
      try {
        await open?.close(signal)
      } finally {
        await release?.()
        release = undefined
      }
    },
    inspect: () => runtime?.inspection ?? { subscriptions: {}, topics: 0 },
  }

  /** Aborts at the component's own limit, or the app's where that is earlier. */
  function shutdownSignal(signal: AbortSignal): AbortSignal {
    const limit = new AbortController()
    const timer = context.clock.setTimer(
      () =>
        limit.abort(new SluiceError('SLUICE_SHUTDOWN', `${name}: handlers had ${config.shutdownTimeout} ms`)),
      config.shutdownTimeout,
      { keepAlive: false },
    )
    onAbort(signal, (reason) => {
      timer.cancel()
      limit.abort(reason)
    })
    return limit.signal
  }
}

function checkMany(items: readonly EventInput<unknown>[]): void {
  if (Array.isArray(items) && items.length <= MAX_MANY) return
  throw invalidArgument('publishMany: items', `at most ${MAX_MANY}`, items.length)
}

async function encodeAll<Input>(
  type: EventType<Input, unknown>,
  items: readonly EventInput<Input>[],
  maxBytes: number,
): Promise<readonly EncodedEvent[]> {
  const events: EncodedEvent[] = []
  for (const item of items) {
    const encoded = encodeEvent(type, item, maxBytes)
    events.push(encoded instanceof Promise ? await encoded : encoded)
  }
  return events
}

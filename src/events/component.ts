/** The events component: the API that exists before connect, and the runtime that connect makes. */
import type { Component, ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import { onAbort } from '../core/abort.ts'
import type { AsyncResult } from '../core/async-result.ts'
import { hasCode, invalidArgument, SluiceError, toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { checkTransaction } from '../engine/transaction-option.ts'
import type { OperationSpec } from '../telemetry/operate.ts'
import type {
  BatchSubscribeOptions,
  EventBatchHandler,
  EventHandler,
  Events,
  SubscribeOptions,
  Subscription,
} from './api.ts'
import { encodeAll, encodeEvent } from './encode.ts'
import type { EventType } from './event.ts'
import { DROP_DEAD, LIMITS, LIST_DEAD, PUBLISH, PUBLISH_MANY, REDRIVE } from './operations.ts'
import type { EventsRuntime } from './runtime.ts'
import type { EventsConfig } from './section.ts'
import { subscriptionSpec, type SubscriptionSpec } from './spec.ts'
import { createAlone } from './transports/alone.ts'
import type { EventBroker, ForeignMapping } from './transports/broker.ts'
import { chooseWay, isAlone } from './transports/choose.ts'
import type { Travel } from './transports/travel.ts'
import type * as Waiting from './waiting.ts'

const ONCE: OperationSpec = Object.freeze({ name: 'once', idempotent: false })
const REPLAY: OperationSpec = Object.freeze({ name: 'replay', idempotent: false })
const REPLAYS: OperationSpec = Object.freeze({ name: 'replays', idempotent: true })
const CANCEL_REPLAY: OperationSpec = Object.freeze({ name: 'cancelReplay', idempotent: true })
const PAUSE: OperationSpec = Object.freeze({ name: 'pause', idempotent: true })
const REMOVE: OperationSpec = Object.freeze({ name: 'remove', idempotent: false })
const RESUME: OperationSpec = Object.freeze({ name: 'resume', idempotent: true })
const LAG: OperationSpec = Object.freeze({ name: 'lag', idempotent: true })
const WAITING: OperationSpec = Object.freeze({ name: 'waiting', idempotent: true })
const RETRY: OperationSpec = Object.freeze({ name: 'retry', idempotent: true })
const TOPICS: OperationSpec = Object.freeze({ name: 'topics', idempotent: true })
/** A redrive waits for its canaries to be delivered. */
const REDRIVE_LIMIT = '10m'

/** What `drain` needs beyond the time that handlers are given: for their signals, and for what they then store. */
const DRAIN_EXTRA_MS = 2_000

/** A shutdown under way. */
interface Ending {
  readonly over: Promise<void>
  readonly hurry: (reason: unknown) => void
}

/** A subscription that was asked for. */
interface Wanted {
  readonly spec: SubscriptionSpec
  /** Settles when its place in the log is known. */
  readonly placed: PromiseWithResolvers<void>
}

export interface EventsParts {
  /** May it use a database? */
  readonly withDatabase: boolean
  /** Reads messages of a broker that have no envelope. */
  readonly map: ForeignMapping | undefined
}

export function createEvents(
  context: ComponentContext<EventsConfig>,
  { withDatabase, map }: EventsParts,
): Component<Events> {
  const way = chooseWay(context, withDatabase)
  if (isAlone(way.transport)) return createAlone(context, way.broker!, map)
  return createLog(context, way.broker, map)
}

function createLog(
  context: ComponentContext<EventsConfig>,
  broker: EventBroker | undefined,
  map: ForeignMapping | undefined,
): Component<Events> {
  const { config, name, log, appName } = context
  const specs = new Map<string, Wanted>()
  let runtime: EventsRuntime | undefined
  let travel: Travel | undefined
  let release: (() => Promise<void>) | undefined
  let ending: Ending | undefined
  const operations = context.operations(LIMITS)
  const running = (): EventsRuntime => {
    if (runtime !== undefined) {
      runtime.engine.tables.refuse()
      return runtime
    }
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
      component: name,
      retryable: true,
    })
  }

  const beginLater = (open: EventsRuntime, { spec, placed }: Wanted): void => {
    travel?.subscribed(spec)
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
      ready: () => placed.promise.then(() => travel?.ready()),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  }

  /** Loaded when it is first asked for. */
  const waiting = <T>(
    spec: OperationSpec,
    ask: (asked: typeof Waiting, engine: Engine) => Promise<T>,
  ): AsyncResult<T> =>
    operations.run(spec, async () => {
      const { engine } = running()
      return ask(await import('./waiting.ts'), engine)
    })

  const api: Events = {
    ...context.base,
    publish: (type, data, options = {}) =>
      operations.run(
        PUBLISH,
        async (call) => {
          checkTransaction('publish', options.tx)
          const event = await encodeEvent(type, { ...options, data }, config.maxBodySize)
          return running().publisher.publish(event, options.tx, call.signal)
        },
        { signal: options.signal },
      ),
    publishMany: (type, items, options = {}) =>
      operations.run(
        PUBLISH_MANY,
        async () => {
          checkTransaction('publishMany', options.tx)
          const events = await encodeAll(type, items, config.maxBodySize, options)
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
    remove: (subscription) =>
      operations.run(REMOVE, (call) => running().queries.remove(subscription, call.signal)),
    lag: () => operations.run(LAG, () => running().queries.lag()),
    topics: () => operations.run(TOPICS, () => running().queries.topics()),
    waiting: Object.freeze({
      list: (filter) => waiting(WAITING, (asked, engine) => asked.waitingEvents(engine, filter)),
      get: (id) =>
        waiting(WAITING, async (asked, engine) => (await asked.waitingEvents(engine, { ids: [id] }))[0]),
      retry: (filter) => waiting(RETRY, (asked, engine) => asked.retryEvents(engine, filter)),
      standing: (subscription) =>
        waiting(WAITING, (asked, engine) => asked.standingEvents(engine, subscription)),
    } satisfies Events['waiting']),
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
      let travelling: Travel | undefined
      try {
        await engine.open(signal)
        opened = new EventsRuntime(engine, config, name, log)
        await opened.open()
        if (broker !== undefined) {
          const { Travel } = await import('./transports/travel.ts')
          const parts = { engine, runtime: opened, broker, config, component: name, appName, log, map }
          travelling = await Travel.begin(parts)
        }
        // All at once, before anything arrives: on Kafka the bridge passes over, for ever, what it is not asked for.
        for (const { spec } of specs.values()) travelling?.subscribed(spec)
        for (const { spec, placed } of specs.values()) {
          signal.throwIfAborted()
          try {
            await opened.subscribe(spec)
            placed.resolve()
          } catch (error) {
            // What one program asks for that cannot be is no reason to publish nothing.
            if (!hasCode(error, 'SLUICE_CONFLICT')) throw error
            placed.reject(error)
            log.error(
              { err: toError(error), subscription: spec.name },
              `${name}: a subscription cannot begin`,
            )
          }
        }
        signal.throwIfAborted()
      } catch (error) {
        await travelling?.stop(AbortSignal.abort(error)).catch(() => {})
        await opened?.close(AbortSignal.abort(error)).catch(() => {})
        await releaseEngine(engine)
        throw error
      }
      release = () => releaseEngine(engine)
      runtime = opened
      travel = travelling
    },
    check: async (signal) => {
      if (runtime === undefined) running()
      await runtime?.engine.tables.check(signal)
    },
    // Only begun here: a handler that runs, or a broker that does not answer, is waited for by `drain`.
    async stopIntake() {
      ending ??= end()
    },
    drainMs: config.shutdownTimeout + DRAIN_EXTRA_MS,
    async drain(signal) {
      ending ??= end()
      const unlisten = onAbort(signal, ending.hurry)
      await ending.over.finally(unlisten)
    },
    async close(signal) {
      const open = runtime
      runtime = undefined
      const unlisten = ending === undefined ? undefined : onAbort(signal, ending.hurry)
      for (const { spec, placed } of specs.values()) {
        placed.reject(new SluiceError('SLUICE_CLOSED', `subscription "${spec.name}": ${name} was closed`))
      }
      try {
        await ending?.over.catch(() => {})
        await travel?.stop(signal)
        await open?.close(signal)
      } finally {
        unlisten?.()
        await release?.()
        release = undefined
      }
    },
    inspect: () => ({
      transport: broker === undefined ? 'log' : `log+${broker.kind}`,
      ...(runtime?.inspection ?? { subscriptions: {}, topics: 0 }),
      ...(travel === undefined ? {} : travel.inspection),
    }),
  }

  /** Nothing is taken any more. Handlers that run are aborted at the component's own limit, or when there is a hurry. */
  function end(): Ending {
    const limit = new AbortController()
    const timer = context.clock.setTimer(
      () =>
        limit.abort(new SluiceError('SLUICE_SHUTDOWN', `${name}: handlers had ${config.shutdownTimeout} ms`)),
      config.shutdownTimeout,
      { keepAlive: false },
    )
    const stopped = Promise.all([runtime?.stopIntake(limit.signal), travel?.stop(limit.signal)])
    const over = stopped.then(() => undefined).finally(() => timer.cancel())
    over.catch(() => {})
    return {
      over,
      hurry: (reason) => {
        timer.cancel()
        limit.abort(reason)
      },
    }
  }
}

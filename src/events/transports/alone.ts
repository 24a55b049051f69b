/**
 * Events on a broker without a database: confirmed publishing, subscriptions as queues or groups of the broker, its dead
 * letters. What it cannot do is refused at the call with SLUICE_UNSUPPORTED.
 *
 * What is promised is less than with a log: an event is published when the broker has confirmed it, in no transaction, and
 * comes at least once to the subscriptions that the broker knows by then.
 */
import type { Component, ComponentContext } from '../../app/component.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { invalidArgument, SluiceError, toError } from '../../core/errors.ts'
import type {
  BatchSubscribeOptions,
  EventBatchHandler,
  EventHandler,
  EventInput,
  Events,
  PublishOptions,
  SubscribeOptions,
  Subscription,
} from '../api.ts'
import { encodeAll, encodeEvent } from '../encode.ts'
import type { EventType } from '../event.ts'
import { TRANSPORTS, unsupported, type Feature } from '../features.ts'
import { DROP_DEAD, LIMITS, LIST_DEAD, PUBLISH, PUBLISH_MANY, REDRIVE } from '../operations.ts'
import type { EventsConfig } from '../section.ts'
import { subscriptionSpec, type SubscriptionSpec } from '../spec.ts'
import { AloneLetters } from './alone-letters.ts'
import { AlonePublisher } from './alone-publisher.ts'
import { readAlone, type AloneReader } from './alone-reader.ts'
import type { EventBroker, ForeignMapping } from './broker.ts'

const LETTERS_LIMIT = '2m'
/** Between two looks whether the broker is there. */
const LOOK_MS = 50
const MAX_LOOK_MS = 1_000

interface Wanted {
  readonly spec: SubscriptionSpec
  readonly placed: PromiseWithResolvers<void>
  reader: AloneReader | undefined
}

export function createAlone(
  context: ComponentContext<EventsConfig>,
  broker: EventBroker,
  map: ForeignMapping | undefined,
): Component<Events> {
  const { config, name, log, clock, appName, metrics } = context
  const transport = broker.kind
  const features = TRANSPORTS[transport]
  const wanted = new Map<string, Wanted>()
  const nameOf = (subscription: string): string => `${appName}/${subscription}`
  const publisher = new AlonePublisher(broker, clock)
  const letters = new AloneLetters(broker, nameOf, () => [...wanted.keys()])
  const delivered = metrics.counter('sluice_events_delivered_total', 'Deliveries of events that are done.')
  let connected = false
  const operations = context.operations(LIMITS)

  const need = (feature: Feature, what: string): void => {
    if (!features[feature]) throw unsupported(transport, feature, what)
  }
  const refuse = <T>(feature: Feature, what: string): AsyncResult<T> =>
    AsyncResult.reject<T>(unsupported(transport, feature, what))

  /** What of the options cannot be done, as a rejection at the call. */
  const refusal = (what: string, options: PublishOptions): SluiceError | undefined => {
    if (options.tx !== undefined) return unsupported(transport, 'transaction', `${what}: tx`)
    if (options.priority !== undefined && !features.priority)
      return unsupported(transport, 'priority', `${what}: priority`)
    if (options.delay !== undefined && !features.delay)
      return unsupported(transport, 'delay', `${what}: delay`)
    return undefined
  }

  const begin = (each: Wanted): void => {
    const { spec, placed } = each
    try {
      each.reader = readAlone({
        broker,
        spec,
        name: nameOf(spec.name),
        clock,
        log,
        delivered: delivered.with({ component: name, subscription: spec.name }),
        map,
      })
      each.reader.ready.then(placed.resolve, placed.reject)
    } catch (error) {
      placed.reject(error)
      log.error({ err: toError(error), subscription: spec.name }, `${name}: a subscription cannot begin`)
    }
  }

  const subscribe = (
    what: EventType<unknown, unknown> | readonly EventType<unknown, unknown>[] | string,
    subscription: string,
    handler: EventHandler<unknown> | EventBatchHandler<unknown>,
    options: SubscribeOptions | BatchSubscribeOptions = {},
  ): Subscription => {
    const spec = subscriptionSpec(what, subscription, handler, options, config.concurrency)
    const who = `subscription "${spec.name}"`
    if (spec.transaction) need('transaction', `${who}: transaction`)
    if (spec.ordered) need('order', `${who}: ordered`)
    if (spec.onFail === 'stop') need('stop', `${who}: onFail`)
    if (spec.from === 'beginning') need('history', `${who}: from`)
    if (spec.handler.kind === 'batch') need('batches', `${who}: batch`)
    if (wanted.has(spec.name)) throw invalidArgument(who, 'one handler in a process', 'a second one')
    const each: Wanted = { spec, placed: Promise.withResolvers<void>(), reader: undefined }
    // Nobody has to ask.
    each.placed.promise.catch(() => {})
    wanted.set(spec.name, each)
    if (connected) begin(each)
    const stop = async (): Promise<void> => {
      each.placed.reject(new SluiceError('SLUICE_CLOSED', `${who} was stopped`))
      if (wanted.get(spec.name) === each) wanted.delete(spec.name)
      await each.reader?.stop()
    }
    return {
      name: spec.name,
      get shards() {
        return each.reader === undefined ? 0 : 1
      },
      ready: () => each.placed.promise,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  }

  const api: Events = {
    ...context.base,
    publish: (type, data, options = {}) => {
      const error = refusal('publish', options)
      if (error !== undefined) return AsyncResult.reject(error)
      return operations.run(
        PUBLISH,
        async (call) => {
          const event = await encodeEvent(type, { ...options, data }, config.maxBodySize)
          return publisher.publish(event, call.signal)
        },
        { signal: options.signal },
      )
    },
    publishMany: <Input>(
      type: EventType<Input, unknown>,
      items: readonly EventInput<Input>[],
      options: Pick<PublishOptions, 'tx' | 'signal'> = {},
    ) => {
      for (const each of [options, ...items]) {
        const error = refusal('publishMany', each)
        if (error !== undefined) return AsyncResult.reject(error)
      }
      return operations.run(
        PUBLISH_MANY,
        async (call) =>
          publisher.publishMany(await encodeAll(type, items, config.maxBodySize, options), call.signal),
        { signal: options.signal },
      )
    },
    subscribe: subscribe as Events['subscribe'],
    once: () => refuse('transaction', 'once'),
    replay: () => refuse('replay', 'replay'),
    replays: () => refuse('replay', 'replays'),
    cancelReplay: () => refuse('replay', 'cancelReplay'),
    pause: () => refuse('steering', 'pause'),
    resume: () => refuse('steering', 'resume'),
    remove: () => refuse('steering', 'remove'),
    lag: () => refuse('steering', 'lag'),
    topics: () => refuse('steering', 'topics'),
    waiting: Object.freeze({
      list: () => refuse('steering', 'waiting.list'),
      get: () => refuse('steering', 'waiting.get'),
      retry: () => refuse('steering', 'waiting.retry'),
      standing: () => refuse('steering', 'waiting.standing'),
    } satisfies Events['waiting']),
    deadLetters: Object.freeze({
      list: (filter = {}) =>
        operations.run(LIST_DEAD, () => letters.list(filter), { timeout: LETTERS_LIMIT }),
      get: (id) =>
        operations.run(LIST_DEAD, async () => (await letters.list({ ids: [id], limit: 1_000 }))[0], {
          timeout: LETTERS_LIMIT,
        }),
      redrive: (options = {}) =>
        operations.run(REDRIVE, () => letters.redrive(options), { timeout: LETTERS_LIMIT }),
      drop: (filter) => operations.run(DROP_DEAD, () => letters.drop(filter), { timeout: LETTERS_LIMIT }),
    } satisfies Events['deadLetters']),
  }

  const stopReaders = async (signal: AbortSignal): Promise<void> => {
    await Promise.all([...wanted.values()].map(async ({ reader }) => reader?.stop(signal)))
  }

  return {
    api,
    /** As soon as the broker is there, which is looked after by its own component. */
    async connect(signal) {
      for (let ms = LOOK_MS; !connected; ms = Math.min(MAX_LOOK_MS, ms * 2)) {
        signal.throwIfAborted()
        try {
          await broker.open(signal)
          break
        } catch (error) {
          if (signal.aborted) throw error
          await clock.sleep(ms, { signal })
        }
      }
      connected = true
      for (const each of wanted.values()) if (each.reader === undefined) begin(each)
    },
    check: async () => {
      const { connected: isThere, name: itsName } = broker.component.status()
      if (isThere) return
      throw new SluiceError('SLUICE_UNAVAILABLE', `"${itsName}" is not connected`, { retryable: true })
    },
    stopIntake: stopReaders,
    async close(signal) {
      for (const { spec, placed } of wanted.values())
        placed.reject(new SluiceError('SLUICE_CLOSED', `subscription "${spec.name}": ${name} was closed`))
      await stopReaders(signal)
      await publisher.close()
    },
    inspect: () => ({ transport, subscriptions: [...wanted.keys()] }),
  }
}

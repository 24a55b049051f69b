/** The parts of the component put together: connections, publisher, topology, subscriptions. */
import type { Component, ComponentContext } from '../../app/component.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import { describeAddress } from './address.ts'
import type { RabbitMQ } from './api.ts'
import { createClient } from './client.ts'
import { Connections } from './connect/connections.ts'
import { closedError } from './connect/errors.ts'
import type { Ending } from './consume/consumer.ts'
import { toSpec, type Handler, type HandlerPool } from './consume/spec.ts'
import { QueueSubscription } from './consume/subscription.ts'
import { Publisher } from './publish/publisher.ts'
import { createSender } from './publish/sender.ts'
import type { RabbitmqConfig } from './section.ts'
import { connectionSettings } from './settings.ts'
import { Topology } from './topology/topology.ts'

const RETRY: OperationSpec = { name: 'retry', idempotent: true }
const DEAD_LETTER: OperationSpec = { name: 'deadLetter', idempotent: true }

/** One lost connection fails all that it carried, so the threshold is a burst and not a few messages. */
const BREAKER_THRESHOLD = 50
const BREAKER_RESET_MS = 250
/** As many messages as all subscriptions may hold. */
const MAX_ONWARD = 10_000

export function createBroker(context: ComponentContext<RabbitmqConfig>): Component<RabbitMQ> {
  const { name, config, clock, random, log, metrics, base, appName } = context
  const topology = new Topology({
    component: name,
    exchange: config.exchange,
    onForeignExchange: (why) =>
      log.warn(
        { exchange: config.exchange, why },
        `${name}: the exchange is not ours, so nothing can be delayed through it`,
      ),
  })
  const publisher = new Publisher({
    component: name,
    exchange: config.exchange,
    maxBytes: config.maxOutstandingBytes,
    clock,
    topology,
  })
  const send = createSender(publisher, topology)
  const limits = {
    timeoutMs: config.publishTimeout,
    maxConcurrent: config.maxOutstanding,
    maxWaiting: config.maxWaiting,
    breakerThreshold: BREAKER_THRESHOLD,
    breakerResetMs: BREAKER_RESET_MS,
    retries: config.maxRetries,
  }
  const operations = context.operations(limits)
  // Of their own, so that a queue of publishers never stands between a failed message and its next attempt.
  const onward = context.operations({ ...limits, maxWaiting: MAX_ONWARD, breakerThreshold: 0 })
  const control = context.operations({ ...limits, maxConcurrent: 4, maxWaiting: 100, breakerThreshold: 0 })
  const subscriptions = new Map<string, QueueSubscription>()
  const outcomes = metrics.counter(
    'sluice_rabbitmq_messages_total',
    'Messages of subscriptions, by how their delivery ended.',
  )
  metrics.observe(
    'sluice_rabbitmq_outstanding',
    'Messages sent and not yet confirmed.',
    { component: name },
    () => publisher.outstanding,
  )
  metrics.observe(
    'sluice_rabbitmq_blocked',
    'Whether the broker takes no messages: short of memory or disk.',
    { component: name },
    () => (publisher.blocked === undefined ? 0 : 1),
  )
  const connections = new Connections({
    settings: connectionSettings(context),
    label: `${appName}:${name}`,
    prepare: ({ publishing, consuming }) => {
      topology.use(consuming)
      return publisher.attach(publishing)
    },
    onOpen: ({ consuming }) => {
      for (const subscription of subscriptions.values()) subscription.attach(consuming)
    },
    onBlocked: (reason) => {
      publisher.block(reason)
      if (reason === undefined) log.info(`${name}: the broker takes messages again`)
      else log.warn({ reason }, `${name}: the broker takes no messages`)
    },
    onDropped: () => publisher.detach(),
    onLost: (error) => context.lost(error),
  })
  let closing: Promise<void> | undefined

  const ownPool: HandlerPool = {
    get capacity() {
      return base.status().pool.workers
    },
    submit: (fn, options) => base.submit(fn, options),
  }

  const subscribe: RabbitMQ['subscribe'] = (topics, queue, handler, options = {}) => {
    if (closing !== undefined) throw closedError(name)
    const spec = toSpec(topics, queue, handler as Handler, options as never, ownPool)
    if (subscriptions.has(queue))
      throw new SluiceError('SLUICE_CONFLICT', `${name}: the queue "${queue}" has a subscription already`)
    const subscription = new QueueSubscription(
      {
        component: name,
        exchange: config.exchange,
        topology,
        clock,
        random,
        log,
        sendOn: (what, frame) =>
          onward.run(what === 'retry' ? RETRY : DEAD_LETTER, (call) => send(frame, call)),
        ended: (of, how) => outcomeOf(of, how).add(),
        onClosed: (closed) => subscriptions.delete(closed.queue),
      },
      spec,
    )
    subscriptions.set(queue, subscription)
    if (connections.pair !== undefined) subscription.attach(connections.pair.consuming)
    return subscription
  }

  const cells = new Map<string, { add(): void }>()
  function outcomeOf(queue: string, how: Ending): { add(): void } {
    const key = `${how} ${queue}`
    let cell = cells.get(key)
    if (cell === undefined) cells.set(key, (cell = outcomes.with({ component: name, queue, outcome: how })))
    return cell
  }

  const close = async (signal: AbortSignal): Promise<void> => {
    await Promise.all(
      [...subscriptions.values()].map((each) => each.closeWithin(signal).catch(() => undefined)),
    )
    await publisher.close(signal)
    await connections.close(signal)
  }

  return {
    api: createClient({
      base,
      operations,
      control,
      connections,
      topology,
      frames: {
        exchange: config.exchange,
        source: appName,
        maxBytes: config.maxMessageBytes,
        now: () => new Date(clock.now()),
      },
      send,
      clock,
      subscribe,
    }),
    connect: (signal) => connections.open(signal),
    async check(signal) {
      await connections.consuming.check(signal)
      const { blocked } = publisher
      if (blocked !== undefined) {
        throw new SluiceError(
          'SLUICE_OVERLOADED',
          `${name}: the broker takes no messages: ${blocked.reason}`,
          {
            retryable: true,
            details: { forMs: blocked.forMs },
          },
        )
      }
      await connections.pair?.publishing.check(signal)
    },
    stopIntake: async () =>
      void (await Promise.all([...subscriptions.values()].map((each) => each.stopIntake()))),
    drain: async (signal) =>
      void (await Promise.all([...subscriptions.values()].map((each) => each.drain(signal)))),
    close(signal) {
      closing ??= close(signal)
      return closing
    },
    inspect: () => ({
      node: connections.pair === undefined ? null : describeAddress(connections.pair.publishing.address),
      exchange: config.exchange,
      publishing: {
        outstanding: publisher.outstanding,
        outstandingBytes: publisher.outstandingBytes,
        waiting: publisher.waiting,
        blocked: publisher.blocked ?? null,
      },
      subscriptions: [...subscriptions.values()].map((each) => each.facts()),
    }),
  }
}

/**
 * The parts of the component put together: connections, publisher, topology, subscriptions.
 *
 * Publishing and consuming have a connection each: a broker that is short of memory stops reading what publishers send,
 * and an acknowledgement behind that would wait as well. Losing either is a loss of both; the app connects again.
 */
import type { Component, ComponentContext } from '../../app/component.ts'
import { BatchResult } from '../../core/batch-result.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import { activeTraceparent } from '../../telemetry/trace.ts'
import type { RabbitMQ } from './api.ts'
import { describeAddress } from './address.ts'
import { BrokerConnection } from './connect/connection.ts'
import { loadRabbit, type DriverChannel } from './connect/driver.ts'
import { closedError } from './connect/errors.ts'
import type { Ending } from './consume/consumer.ts'
import { toSpec, type Handler, type HandlerPool } from './consume/spec.ts'
import { QueueSubscription } from './consume/subscription.ts'
import { createDeadLetters } from './dead-letters.ts'
import { toFrame, type Frame, type FrameContext, type PublishOptions } from './publish/message.ts'
import { Publisher } from './publish/publisher.ts'
import { createSender } from './publish/sender.ts'
import { connectionSettings } from './settings.ts'
import type { RabbitmqConfig } from './section.ts'
import { deadQueueOf, UNROUTABLE } from './topology/names.ts'
import { Topology } from './topology/topology.ts'

const PUBLISH: OperationSpec = { name: 'publish', idempotent: true }
const RETRY: OperationSpec = { name: 'retry', idempotent: true }
const DEAD_LETTER: OperationSpec = { name: 'deadLetter', idempotent: true }
const DELETE: OperationSpec = { name: 'deleteQueue', idempotent: false }

/** One lost connection fails all that it carried, so the threshold is a burst and not a few messages. */
const BREAKER_THRESHOLD = 50
const BREAKER_RESET_MS = 250
/** As many messages as all subscriptions may hold. */
const MAX_ONWARD = 10_000

export function createBroker(context: ComponentContext<RabbitmqConfig>): Component<RabbitMQ> {
  const { name, config, clock, random, log, metrics, base, appName } = context
  const settings = connectionSettings(context)
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
  const frames: FrameContext = {
    exchange: config.exchange,
    source: appName,
    maxBytes: config.maxMessageBytes,
    now: () => new Date(clock.now()),
  }
  let connections: { readonly publishing: BrokerConnection; readonly consuming: BrokerConnection } | undefined
  let turn = 0
  let closing: Promise<void> | undefined

  const connect = async (signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted()
    const peer = await loadRabbit()
    signal.throwIfAborted()
    // Of a failed attempt, or of a loss: whichever connection was left over.
    drop()
    const opened: BrokerConnection[] = []
    const lost = (error: SluiceError): void => {
      if (!opened.includes(connections?.publishing as BrokerConnection)) return
      drop()
      context.lost(error)
    }
    const first = turn++
    const open = async (
      role: string,
      onBlocked: (reason: string | undefined) => void,
    ): Promise<BrokerConnection> => {
      const label = `${appName}:${name}:${role}`
      const connection = await BrokerConnection.open(peer, settings, label, first, signal, {
        onLost: lost,
        onBlocked,
      })
      opened.push(connection)
      return connection
    }
    try {
      const consuming = await open('consume', () => undefined)
      const publishing = await open('publish', (reason) => {
        if (connections?.publishing !== publishing) return
        publisher.block(reason)
        if (reason === undefined) log.info(`${name}: the broker takes messages again`)
        else log.warn({ reason }, `${name}: the broker takes no messages`)
      })
      topology.use(consuming)
      connections = { publishing, consuming }
      await publisher.attach(publishing)
      signal.throwIfAborted()
      if (!publishing.isOpen || !consuming.isOpen)
        throw new SluiceError('SLUICE_UNAVAILABLE', `${name}: the connection was lost`, { retryable: true })
      for (const subscription of subscriptions.values()) subscription.attach(consuming)
    } catch (error) {
      drop()
      for (const connection of opened) connection.destroy()
      throw error
    }
  }

  /** Whatever is left of connections. */
  function drop(): void {
    const old = connections
    connections = undefined
    publisher.detach()
    old?.publishing.destroy()
    old?.consuming.destroy()
  }

  const consumingConnection = (): BrokerConnection => {
    if (connections !== undefined) return connections.consuming
    throw new SluiceError('SLUICE_UNAVAILABLE', `${name}: there is no connection`, { retryable: true })
  }

  const publish = (topic: string, data: unknown, options: PublishOptions = {}): AsyncResult<string> => {
    let frame: Frame
    try {
      frame = toFrame(topic, data, options, frames)
      if (frame.delay !== undefined && topology.undelayable !== undefined)
        throw new SluiceError(
          'SLUICE_UNSUPPORTED',
          `delay: the exchange is not ours: ${topology.undelayable}`,
        )
    } catch (error) {
      return AsyncResult.reject<string>(error)
    }
    return operations.run(
      PUBLISH,
      (call) => {
        const traceparent = options.traceparent === undefined ? activeTraceparent() : undefined
        if (traceparent !== undefined) {
          frame.envelope.headers['cloudEvents:traceparent'] = traceparent
          // Where tools that know nothing of CloudEvents look.
          frame.envelope.headers['traceparent'] = traceparent
        }
        return send(frame, call)
      },
      options,
    )
  }

  const ownPool: HandlerPool = {
    get capacity() {
      return base.status().pool.workers
    },
    submit: (fn, options) => base.submit(fn, options),
  }

  const api: RabbitMQ = {
    ...base,
    publish,
    publishBatch: (messages, options) =>
      BatchResult.of(
        messages.map(({ topic, data, options: own }) => publish(topic, data, { ...own, ...options })),
      ),
    subscribe(topics, queue, handler, options = {}) {
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
      if (connections !== undefined) subscription.attach(connections.consuming)
      return subscription
    },
    deadLetters: (queue) =>
      createDeadLetters({
        operations: control,
        clock,
        connection: consumingConnection,
        send,
        queue: deadQueueOf(queue),
        home: queue,
      }),
    unroutable: () =>
      createDeadLetters({
        operations: control,
        clock,
        connection: consumingConnection,
        send,
        queue: UNROUTABLE,
        home: undefined,
      }),
    deleteQueue: (queue, { force = false } = {}) =>
      control.run(DELETE, () =>
        consumingConnection().withChannel(`deleting the queue "${queue}"`, async (channel) => {
          const both = [queue, deadQueueOf(queue)]
          if (!force) {
            // Asked for in the deletion itself this costs the connection: quorum queues cannot do it.
            for (const each of both) await refuseUsed(name, each, channel)
          }
          let gone = 0
          for (const each of both) gone += (await channel.queueDelete({ queue: each })).messageCount
          return gone
        }),
      ),
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
    const old = connections
    connections = undefined
    publisher.detach()
    await Promise.all([old?.publishing.close(signal), old?.consuming.close(signal)])
  }

  return {
    api,
    connect,
    async check(signal) {
      const { publishing, consuming } = connections ?? {
        publishing: undefined,
        consuming: consumingConnection(),
      }
      await consuming.check(signal)
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
      if (publishing !== undefined) await publishing.check(signal)
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
      node: connections === undefined ? null : describeAddress(connections.publishing.address),
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

async function refuseUsed(component: string, queue: string, channel: DriverChannel): Promise<void> {
  const { messageCount, consumerCount } = await channel.queueDeclare({ queue, passive: true })
  if (messageCount === 0 && consumerCount === 0) return
  const text = `${component}: the queue "${queue}" has ${consumerCount} consumers and ${messageCount} messages`
  throw new SluiceError('SLUICE_CONFLICT', text, {
    component,
    hint: 'Close subscriptions first, or delete it with force.',
  })
}

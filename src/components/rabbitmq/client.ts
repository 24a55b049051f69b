/** The API over its parts: every operation goes through `operations`. */
import type { ComponentBase } from '../../app/component.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { BatchResult } from '../../core/batch-result.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Operations, OperationSpec } from '../../telemetry/operate.ts'
import { activeTraceparent } from '../../telemetry/trace.ts'
import type { RabbitMQ } from './api.ts'
import type { Connections } from './connect/connections.ts'
import { createDeadLetters } from './dead-letters.ts'
import { toFrame, type Frame, type FrameContext, type PublishOptions } from './publish/message.ts'
import type { Send } from './publish/sender.ts'
import { deleteQueue } from './topology/delete-queue.ts'
import { deadQueueOf, UNROUTABLE } from './topology/names.ts'
import type { Topology } from './topology/topology.ts'

export interface ClientParts {
  readonly base: ComponentBase
  readonly operations: Operations
  /** Of what is done to queues. */
  readonly control: Operations
  readonly connections: Connections
  readonly topology: Topology
  readonly frames: FrameContext
  readonly send: Send
  readonly clock: Clock
  readonly subscribe: RabbitMQ['subscribe']
}

const PUBLISH: OperationSpec = { name: 'publish', idempotent: true }
const DELETE: OperationSpec = { name: 'deleteQueue', idempotent: false }

export function createClient(parts: ClientParts): RabbitMQ {
  const { base, control, connections, send, clock, subscribe } = parts
  const lettersOf = (queue: string, home: string | undefined): ReturnType<RabbitMQ['deadLetters']> =>
    createDeadLetters({
      operations: control,
      clock,
      connection: () => connections.consuming,
      send,
      queue,
      home,
    })
  return {
    ...base,
    publish: (topic, data, options = {}) => publish(parts, topic, data, options),
    publishBatch: (messages, options) =>
      BatchResult.of(
        messages.map(({ topic, data, options: own }) => publish(parts, topic, data, { ...own, ...options })),
      ),
    subscribe,
    deadLetters: (queue) => lettersOf(deadQueueOf(queue), queue),
    unroutable: () => lettersOf(UNROUTABLE, undefined),
    deleteQueue: (queue, { force = false } = {}) =>
      control.run(DELETE, () => deleteQueue(base.name, connections.consuming, queue, force)),
  }
}

function publish(
  { operations, topology, frames, send }: ClientParts,
  topic: string,
  data: unknown,
  options: PublishOptions,
): AsyncResult<string> {
  let frame: Frame
  try {
    frame = toFrame(topic, data, options, frames)
    if (frame.delay !== undefined && topology.undelayable !== undefined)
      throw new SluiceError('SLUICE_UNSUPPORTED', `delay: the exchange is not ours: ${topology.undelayable}`)
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

/** What a subscription needs on the broker. Order matters: nothing may point to what is not there yet. */
import type { SubscriptionSpec } from '../consume/spec.ts'
import { deadQueueOf, DUE_EXCHANGE, HEADER, toQueue } from './names.ts'
import { QUORUM, SAFE_DEAD_LETTERS, type Topology } from './topology.ts'

/** Looking through dead letters counts as a delivery; from version 4 on brokers throw a message away after twenty. */
const LOOKED_AT_OFTEN = 1_000_000
/** As many as there are in AMQP. */
const MAX_PRIORITY = 9

/** Rejects with SLUICE_CONFLICT where something is there and differs, SLUICE_UNAVAILABLE where an exchange is missing. */
export async function declareSubscription(
  topology: Topology,
  spec: SubscriptionSpec,
  ownExchange: string,
): Promise<void> {
  const { queue, exchange = ownExchange, topics } = spec
  const dead = deadQueueOf(queue)
  await topology.due()
  await topology.queue(dead, { ...QUORUM, 'x-delivery-limit': LOOKED_AT_OFTEN })
  await topology.queue(queue, queueArguments(spec, dead))
  await topology.declare(`binding the queue "${queue}"`, async (channel) => {
    if (exchange !== ownExchange) await channel.exchangeDeclare({ exchange, passive: true })
    for (const routingKey of topics) await channel.queueBind({ queue, exchange, routingKey })
    const isForHere = { 'x-match': 'all', [HEADER.delayTo]: toQueue(queue) }
    await channel.queueBind({ queue, exchange: DUE_EXCHANGE, routingKey: '', arguments: isForHere })
  })
}

function queueArguments(
  spec: SubscriptionSpec,
  dead: string,
): Readonly<Record<string, string | number | boolean>> {
  return {
    ...(spec.singleActive ? { 'x-single-active-consumer': true } : {}),
    ...(spec.priorities
      ? { 'x-queue-type': 'classic', 'x-max-priority': MAX_PRIORITY }
      : { ...QUORUM, ...SAFE_DEAD_LETTERS }),
    // What the broker itself gives up on lies with the other dead letters.
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': dead,
    ...(spec.maxLength === undefined
      ? {}
      : { 'x-max-length': spec.maxLength, 'x-overflow': 'reject-publish' }),
  }
}

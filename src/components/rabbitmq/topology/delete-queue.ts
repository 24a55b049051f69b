import { SluiceError } from '../../../core/errors.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import type { DriverChannel } from '../connect/driver.ts'
import { deadQueueOf } from './names.ts'

/** The queue of a subscription with its dead letters; how many messages went with them. Without `force` only what nobody uses. */
export function deleteQueue(
  component: string,
  connection: BrokerConnection,
  queue: string,
  force: boolean,
): Promise<number> {
  return connection.withChannel(`deleting the queue "${queue}"`, async (channel) => {
    const both = [queue, deadQueueOf(queue)]
    if (!force) {
      // Asked for in the deletion itself this costs the connection: quorum queues cannot do it.
      for (const each of both) await refuseUsed(component, each, channel)
    }
    let gone = 0
    for (const each of both) gone += (await channel.queueDelete({ queue: each })).messageCount
    return gone
  })
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

/** Publishes a frame with all that it needs on the broker: the buckets that it waits in are declared before its first use. */
import { hasCode } from '../../../core/errors.ts'
import type { Topology } from '../topology/topology.ts'
import type { Frame } from './message.ts'
import type { PublishCall, Publisher } from './publisher.ts'

export type Send = (frame: Frame, call: PublishCall) => Promise<string>

export function createSender(publisher: Publisher, topology: Topology): Send {
  const sendDelayed = async (frame: Frame, level: number, call: PublishCall): Promise<string> => {
    if (!topology.hasDelays(level)) await topology.delays(level)
    try {
      return await publisher.publish(frame, call)
    } catch (error) {
      if (!hasCode(error, 'SLUICE_UNROUTABLE')) throw error
      // Somebody deleted a bucket.
      topology.forget()
      await topology.delays(level)
      return publisher.publish(frame, call)
    }
  }
  return (frame, call) =>
    frame.delay === undefined ? publisher.publish(frame, call) : sendDelayed(frame, frame.delay.level, call)
}

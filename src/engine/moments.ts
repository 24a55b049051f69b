/**
 * Moments in the life of durable work that whoever looks for faults wants to know of: between two of them something may
 * crash. Each is a channel of node:diagnostics_channel, named `sluice:<moment>`, at which nobody listens in production;
 * it then costs a property read. Messages hold how many tasks or events it is about, never their data.
 */
import { channel } from 'node:diagnostics_channel'

export const MOMENTS = [
  'jobs.enqueue',
  'jobs.enqueued',
  'jobs.claimed',
  'jobs.committing',
  'jobs.handled',
  'jobs.acked',
  'jobs.failed',
  'jobs.released',
  'events.publish',
  'events.published',
  'events.ticked',
  'events.read',
  'events.committing',
  'events.handled',
  'events.moved',
  'events.parked',
  'events.relayed',
  'events.bridging',
  'events.bridged',
  'cron.claimed',
  'cron.committing',
  'cron.ran',
  'cron.finished',
] as const

export type Moment = (typeof MOMENTS)[number]

const channels = Object.fromEntries(MOMENTS.map((name) => [name, channel(`sluice:${name}`)])) as Readonly<
  Record<Moment, ReturnType<typeof channel>>
>

/** Says that it is now. What listens must not throw. */
export function moment(name: Moment, count: number): void {
  const listened = channels[name]
  if (listened.hasSubscribers) listened.publish({ count })
}

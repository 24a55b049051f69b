/** The brokers that a run can be about. */
export const BROKER_KINDS = ['rabbitmq', 'kafka'] as const

export type BrokerKind = (typeof BROKER_KINDS)[number]

export function isBrokerKind(text: string): text is BrokerKind {
  return (BROKER_KINDS as readonly string[]).includes(text)
}

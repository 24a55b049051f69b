/** Starts a broker of the run's own, of either kind, and ends it with the run. */
import type { BrokerKind } from './kinds.ts'
import type { BrokerServer } from './server.ts'

/** Why there can be none here, or false. */
export async function missingBrokerServer(kind: BrokerKind): Promise<string | false> {
  if (kind === 'kafka') return (await import('./kafka.ts')).missingKafka()
  return (await import('../../../test/components/rabbitmq/own-broker.ts')).missingBrokerProgram()
}

export async function startBroker(kind: BrokerKind, log: (text: string) => void): Promise<BrokerServer> {
  const server =
    kind === 'kafka'
      ? await (await import('./kafka.ts')).startKafka(log)
      : await (await import('./rabbitmq.ts')).startRabbit()
  return endedWithUs(server)
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** It is in a group of its own, and would outlive a run that is broken off. */
function endedWithUs(server: BrokerServer): BrokerServer {
  const dispose = (): PromiseLike<void> => server[Symbol.asyncDispose]()
  const end = (): void => void dispose().then(() => process.exit(130))
  for (const signal of SIGNALS) process.once(signal, end)
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      for (const signal of SIGNALS) process.off(signal, end)
      await dispose()
    },
  }
}

/** A broker of the run's own: on ports and in a directory of its own, and reached through a proxy that is the network. */
import type { FaultProxy } from '../../../src/testing/fault-proxy.ts'
import type { BrokerKind } from './kinds.ts'

export interface BrokerServer extends AsyncDisposable {
  readonly kind: BrokerKind
  /** What runs, and its version. */
  readonly title: string
  /** Programs reach it through here only. */
  readonly proxy: FaultProxy
  /** Environment variables that say so to a program. */
  readonly env: Readonly<Record<string, string>>
  start(): Promise<void>
  /** SIGKILL: what it confirmed is on disk, or with the kernel. */
  kill(): Promise<void>
  /** In order, as for an upgrade. */
  stop(): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  thaw(): void
}

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

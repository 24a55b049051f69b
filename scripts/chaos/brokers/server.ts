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

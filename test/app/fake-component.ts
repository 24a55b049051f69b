/** A real component over nothing: what it does at connect, check and close is told by the test. */
import type { Component, ComponentBase, ComponentDefinition } from '../../src/app/component.ts'
import type { AsyncResult } from '../../src/core/async-result.ts'
import { defineSection } from '../../src/config/section.ts'

export interface FakeApi extends ComponentBase {
  /** Runs through the operations of the component. */
  ping(): AsyncResult<string>
}

/** What the test holds in its hand. */
export interface Fake {
  readonly definition: ComponentDefinition<FakeApi>
  /** What happened, in order. */
  readonly calls: string[]
  connect: (signal: AbortSignal) => Promise<void>
  check: (signal: AbortSignal) => Promise<void>
  close: (signal: AbortSignal) => Promise<void>
  /** Says that the connection is gone. */
  lose(error: Error): void
  /** Connects under way at once, at most; more than 1 is a defect. */
  maxConcurrentConnects: number
}

const up = (): Promise<void> => Promise.resolve()

export function fake(
  kind: string,
  options: { readonly dependsOn?: readonly string[]; readonly connectTimeoutMs?: number } = {},
): Fake {
  let lost: (error: Error) => void = () => {}
  let connecting = 0
  const self: Fake = {
    calls: [],
    connect: up,
    check: up,
    close: up,
    lose: (error) => lost(error),
    maxConcurrentConnects: 0,
    definition: {
      kind,
      section: defineSection({ name: kind, fields: {} }),
      overrides: {},
      dependsOn: options.dependsOn ?? [],
      workers: 4,
      connectTimeoutMs: options.connectTimeoutMs ?? 1_000,
      create(context): Component<FakeApi> {
        lost = (error) => context.lost(error)
        const operations = context.operations({
          timeoutMs: 1_000,
          maxConcurrent: 10,
          maxWaiting: 100,
          breakerThreshold: 0,
          breakerResetMs: 1_000,
          retries: 0,
        })
        const spec = { name: 'ping', idempotent: true }
        return {
          api: { ...context.base, ping: () => operations.run(spec, () => 'pong') },
          async connect(signal) {
            connecting++
            self.maxConcurrentConnects = Math.max(self.maxConcurrentConnects, connecting)
            self.calls.push('connect')
            try {
              await self.connect(signal)
            } finally {
              connecting--
            }
          },
          async check(signal) {
            self.calls.push('check')
            await self.check(signal)
          },
          async close(signal) {
            self.calls.push('close')
            await self.close(signal)
          },
          inspect: () => ({ answers: 'pong' }),
        }
      },
    },
  }
  return self
}

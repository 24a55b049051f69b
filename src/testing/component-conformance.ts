/**
 * The contract between app and component, as tests. Every component runs this suite, also those of your own.
 *
 *     componentConformance({
 *       name: 'redis',
 *       definition: () => redis({ addr: '127.0.0.1:6379' }),
 *       operation: (api) => api.get('key'),
 *       unreachable: () => redis({ addr: '127.0.0.1:1' }),
 *       canary: { secret: 'hunter2-canary', definition: () => redis({ addr: '127.0.0.1:1', password: 'hunter2-canary' }) },
 *       outage: async () => { … },
 *     })
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import type { ComponentBase, ComponentDefinition } from '../app/component.ts'
import type { Fields } from '../config/section.ts'
import { isSluiceError, type ErrorCode } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { connectComponent, openComponent, type OpenComponentOptions } from './connect-component.ts'
import { assertNoLeaks, snapshotResources } from './leak-check.ts'
import { componentOwner, lifecycleStress } from './lifecycle-stress.ts'

/** A backing service that the suite may take away. */
export interface Outage<Api extends ComponentBase, F extends Fields> extends AsyncDisposable {
  readonly definition: ComponentDefinition<Api, F>
  /** From now on the service is gone: connections end and no new ones come about. */
  begin(): Promise<void> | void
  /** The service is back. */
  end(): Promise<void> | void
}

export interface ConformanceOptions<Api extends ComponentBase, F extends Fields> {
  /** What the tests are called after. */
  readonly name: string
  /** The component with a backing service that works. */
  readonly definition: () => ComponentDefinition<Api, F>
  /** Any operation that needs the backing service; it is called with a signal that it should heed. */
  readonly operation: (api: Api, signal: AbortSignal) => PromiseLike<unknown>
  readonly open?: OpenComponentOptions
  /** The component with an address where nothing answers; left out where there is no such thing. */
  readonly unreachable?: () => ComponentDefinition<Api, F>
  /** The component with a secret in every place that may hold one, and with a backing service that it cannot reach. */
  readonly canary?: { readonly secret: string; readonly definition: () => ComponentDefinition<Api, F> }
  /** A backing service that goes away and comes back; left out where there is none. */
  readonly outage?: () => Promise<Outage<Api, F>>
  /** Starts and stops in the test that looks for leaks. @default 10 */
  readonly cycles?: number
  /** Why the suite cannot run here. @default false */
  readonly skip?: false | string
}

const GONE: readonly ErrorCode[] = ['SLUICE_NOT_READY', 'SLUICE_CLOSED', 'SLUICE_SHUTDOWN']
const WAITERS = 50

export function componentConformance<Api extends ComponentBase, F extends Fields>(
  options: ConformanceOptions<Api, F>,
): void {
  const { name, definition, operation, cycles = 10 } = options
  const skip = { skip: options.skip ?? false }
  const create = () => openComponent(definition(), options.open)
  const connect = () => connectComponent(definition(), options.open)
  const operate = (api: Api, signal = new AbortController().signal): Promise<unknown> =>
    Promise.resolve(operation(api, signal))

  lifecycleStress(name, async () => componentOwner(await create()), { cycles, ...skip })

  void test(`${name}: create does no I/O and starts no timer`, skip, async () => {
    const warm = await create()
    await warm.close()
    const earlier = snapshotResources()
    const open = await create()
    await assertNoLeaks(earlier, { within: 0 })
    await open.close()
  })

  void test(`${name}: operations before connect are refused with SLUICE_NOT_READY`, skip, async () => {
    await using open = await create()
    await assert.rejects(operate(open.api), { code: 'SLUICE_NOT_READY', retryable: true })
    assert.equal(open.api.status().connected, false)
  })

  void test(`${name}: once connected it operates, checks and says so`, skip, async () => {
    await using open = await connect()
    await operate(open.api)
    await open.check()
    const status = open.api.status()
    assert.equal(status.connected, true)
    assert.equal(status.state, 'ready')
    assert.equal(status.kind, definition().kind)
  })

  void test(
    `${name}: a connect with an aborted signal rejects with its reason, and may be repeated`,
    skip,
    async () => {
      await using open = await create()
      const reason = new Error('changed my mind')
      await assert.rejects(
        open.component.connect(AbortSignal.abort(reason), () => {}),
        reason,
      )
      await open.connect()
      await operate(open.api)
    },
  )

  void test(`${name}: a connect aborted on its way leaves nothing open`, skip, async () => {
    await (await connect()).close()
    const earlier = snapshotResources()
    for (const turns of [0, 1, 2, 4, 8]) {
      const open = await create()
      const controller = new AbortController()
      const connecting = open.connect(controller.signal).catch((error: unknown) => error)
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      controller.abort(new Error('changed my mind'))
      await connecting
      await open.close()
    }
    await assertNoLeaks(earlier)
  })

  void test(`${name}: an aborted operation rejects with the reason of its signal`, skip, async () => {
    await using open = await connect()
    const reason = new Error('changed my mind')
    await assert.rejects(operate(open.api, AbortSignal.abort(reason)), reason)
    await operate(open.api)
  })

  void test(
    `${name}: close settles everything that waits, and operations after it are refused`,
    skip,
    async () => {
      const open = await connect()
      const waiting = Array.from({ length: WAITERS }, () => operate(open.api))
      const settled = Promise.allSettled(waiting)
      await open.close()
      for (const result of await settled) {
        if (result.status === 'rejected') assertSluiceError(result.reason)
      }
      await assert.rejects(operate(open.api), (error) => isSluiceError(error) && GONE.includes(error.code))
    },
  )

  void test(`${name}: close may be called again`, skip, async () => {
    const open = await connect()
    await open.close()
    await open.component.close(AbortSignal.timeout(5_000))
  })

  void test(`${name}: what it says of itself is JSON in every state`, skip, async () => {
    await using open = await create()
    const isJson = (): void => {
      const facts = open.component.inspect()
      assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts)
    }
    isJson()
    await open.connect()
    await operate(open.api)
    isJson()
    await open.close()
    isJson()
  })

  const { unreachable, canary, outage } = options
  if (unreachable !== undefined) {
    void test(
      `${name}: a connect that reaches nobody rejects, says what failed and leaves nothing open`,
      skip,
      async () => {
        const failOnce = async (): Promise<void> => {
          const open = await openComponent(unreachable(), options.open)
          await assert.rejects(open.connect(), (error) => {
            assertSluiceError(error)
            return true
          })
          await assert.rejects(operate(open.api), { code: 'SLUICE_NOT_READY' })
          await open.close()
        }
        await failOnce()
        const earlier = snapshotResources()
        for (let i = 0; i < cycles; i++) await failOnce()
        await assertNoLeaks(earlier)
      },
    )
  }

  if (canary !== undefined) {
    void test(`${name}: a secret shows up in no error, log line, status or metric`, skip, async () => {
      const lines: string[] = []
      const open = await openComponent(canary.definition(), { ...options.open, log: recordingLogger(lines) })
      const error = await open.connect().catch((thrown: unknown) => thrown)
      const shown = [
        inspect(error, { depth: 10, showHidden: true }),
        inspect(open.api.status(), { depth: 10 }),
        inspect(open.component.inspect(), { depth: 10 }),
        open.metrics.expose(),
        ...lines,
      ]
      await open.close()
      for (const form of formsOf(canary.secret)) {
        assert.equal(
          shown.find((text) => text.includes(form)),
          undefined,
        )
      }
    })
  }

  if (outage !== undefined) {
    void test(
      `${name}: without its service check and operations fail, and with it again they work`,
      skip,
      async () => {
        await using service = await outage()
        await using open = await connectComponent(service.definition, options.open)
        await operate(open.api)
        await service.begin()
        await assert.rejects(open.check())
        await assert.rejects(operate(open.api), (error) => {
          assertSluiceError(error)
          return true
        })
        await service.end()
        // A component that reported its loss waits to be connected again, as the app does; others heal by themselves.
        if (open.losses.length > 0) await open.connect()
        await open.check()
      },
    )
  }
}

function assertSluiceError(error: unknown): void {
  assert.ok(isSluiceError(error), `expected a SluiceError, got ${inspect(error)}`)
}

/** A secret as it would look in text, in a URL and encoded. */
function formsOf(secret: string): readonly string[] {
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64').replace(/=+$/, '')]
}

function recordingLogger(lines: string[]): Logger {
  const write = (what: string | object, message = ''): void =>
    void lines.push(`${message} ${inspect(what, { depth: 10, showHidden: true })}`)
  const logger: Logger = { debug: write, info: write, warn: write, error: write, child: () => logger }
  return logger
}

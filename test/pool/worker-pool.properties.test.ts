/**
 * The pool under any interleaving of submit, post, finish, cancel, abort, timeout, resize, drain and close: no task lost,
 * none run twice, bounds and order kept, every waiter settled. The functions of the tasks are ended by the test.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AsyncResult } from '../../src/core/async-result.ts'
import { isSluiceError } from '../../src/core/errors.ts'
import { WorkerPool, type OverflowPolicy, type PoolStats } from '../../src/pool/worker-pool.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const TIMEOUT_MS = 1_000
const GRACE_MS = 5_000
const MAX_BLOCKED = 3
const POLICIES: readonly OverflowPolicy[] = ['wait', 'reject', 'drop-oldest', 'drop-newest', 'conflate']

type Action =
  | {
      readonly kind: 'submit'
      readonly priority: number
      readonly timed: boolean
      readonly key: string
      readonly obeys: boolean
    }
  | { readonly kind: 'post' | 'drain' | 'advance' | 'abandon' | 'room' }
  | { readonly kind: 'finish' | 'fail' | 'cancel' | 'abort'; readonly pick: number }
  | { readonly kind: 'resize'; readonly workers: number }
  | { readonly kind: 'close'; readonly finishWaiting: boolean }
type Step = Action & { readonly settle: boolean }

interface Tracked {
  readonly id: number
  readonly priority: number
  readonly obeys: boolean
  readonly result: AsyncResult<number> | undefined
  readonly controller: AbortController
  readonly end: PromiseWithResolvers<number>
  starts: number
  /** In the order of starting; undefined while it never did. */
  startedAs: number | undefined
  ended: boolean
  outcome: 'fulfilled' | 'rejected' | undefined
  error: unknown
}

const submit = fc.record({
  kind: fc.constant('submit' as const),
  priority: fc.integer({ min: 0, max: 9 }),
  timed: fc.boolean(),
  key: fc.constantFrom('a', 'b', 'c'),
  obeys: fc.boolean(),
})
const picked = fc.record({
  kind: fc.constantFrom('finish' as const, 'fail' as const, 'cancel' as const, 'abort' as const),
  pick: fc.nat(),
})
const plain = fc.record({
  kind: fc.constantFrom(
    'post' as const,
    'drain' as const,
    'advance' as const,
    'abandon' as const,
    'room' as const,
  ),
})
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: submit },
  { weight: 8, arbitrary: picked },
  { weight: 4, arbitrary: plain },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resize' as const), workers: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), finishWaiting: fc.boolean() }) },
)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(action, fc.boolean()).map(([one, settle]) => ({ ...one, settle })),
  { maxLength: 80, size: 'max' },
)

for (const overflow of POLICIES) {
  test(`with overflow ${overflow} no task is lost, run twice or left pending, and every bound holds`, async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 4 }),
        async (list, workers, maxWaiting) => {
          const run = new Run(overflow, workers, maxWaiting)
          for (const step of list) {
            run.take(step)
            if (step.kind === 'advance') await run.clock.advance(TIMEOUT_MS)
            else if (step.kind === 'abandon') await run.clock.advance(GRACE_MS)
            else if (step.settle) await turn()
            run.check()
          }
          await run.finish()
        },
      ),
      { numRuns: 300 },
    )
  })
}

class Run {
  readonly clock = new ManualClock()
  readonly tasks: Tracked[] = []
  readonly #pool: WorkerPool
  readonly #maxWaiting: number
  readonly #conflates: boolean
  readonly #waits: Promise<unknown>[] = []
  #pendingWaits = 0
  #started = 0

  constructor(overflow: OverflowPolicy, workers: number, maxWaiting: number) {
    this.#maxWaiting = maxWaiting
    this.#conflates = overflow === 'conflate'
    this.#pool = new WorkerPool({
      name: 'property',
      workers,
      maxWaiting,
      overflow,
      maxBlocked: MAX_BLOCKED,
      abandonAfter: GRACE_MS,
      clock: this.clock,
      onError: () => {},
    })
  }

  take(step: Action): void {
    switch (step.kind) {
      case 'submit':
        this.#submit(step)
        return
      case 'post':
        this.#post()
        return
      case 'finish':
        this.#running(step.pick)?.end.resolve(1)
        return
      case 'fail':
        this.#running(step.pick)?.end.reject(new Error('task failed'))
        return
      case 'cancel':
        this.#any(step.pick)?.result?.cancel()
        return
      case 'abort':
        this.#any(step.pick)?.controller.abort(new Error('caller left'))
        return
      case 'resize':
        this.#pool.resize(step.workers)
        return
      case 'drain':
        this.#wait(this.#pool.drain())
        return
      case 'room':
        this.#wait(this.#pool.room())
        return
      case 'close':
        this.#wait(this.#pool.close({ timeout: TIMEOUT_MS, finishWaiting: step.finishWaiting }))
        return
      case 'advance':
      case 'abandon':
        return
    }
  }

  check(): void {
    const pool = this.#pool
    assert.ok(pool.waiting <= this.#maxWaiting, `waiting ${pool.waiting}`)
    assert.ok(pool.blocked <= MAX_BLOCKED, `blocked ${pool.blocked}`)
    assert.ok(pool.waiting + pool.blocked === 0 || pool.free === 0, 'tasks wait although a slot is free')
    for (const task of this.tasks) assert.ok(task.starts <= 1, `task ${task.id} ran ${task.starts} times`)
    if (!this.#conflates) this.#checkOrder()
    this.#checkSum(pool.stats())
  }

  async finish(): Promise<void> {
    await turn()
    this.check()
    const closing = this.#pool.close({ timeout: TIMEOUT_MS })
    this.#wait(closing)
    await this.clock.advance(TIMEOUT_MS + GRACE_MS)
    for (const task of this.tasks) {
      assert.ok(task.result === undefined || task.outcome !== undefined, `task ${task.id} never settled`)
      if (task.result !== undefined) checkOutcome(task)
    }
    assert.equal(this.#pendingWaits, 0, 'drain, room and close settle')
    assert.deepEqual([this.#pool.running, this.#pool.waiting, this.#pool.blocked], [0, 0, 0])
    this.#checkSum(this.#pool.stats())
    assert.equal(this.clock.pending, 0, 'no timer is left')
    await assert.rejects(
      this.#pool.submit(() => 1),
      { code: 'SLUICE_POOL_CLOSED' },
    )
    assert.equal(
      this.#pool.post(() => 1),
      false,
    )
  }

  #submit({ priority, timed, key, obeys }: Extract<Action, { kind: 'submit' }>): void {
    const task = this.#track(priority, obeys, (run, signal) =>
      this.#pool.submit(run, { priority, key, signal, timeout: timed ? TIMEOUT_MS : undefined }),
    )
    task.result?.then(
      () => (task.outcome = 'fulfilled'),
      (error: unknown) => {
        task.outcome = 'rejected'
        task.error = error
      },
    )
  }

  #post(): void {
    this.#track(5, true, (run) => {
      this.#pool.post(run)
      return undefined
    })
  }

  #track(
    priority: number,
    obeys: boolean,
    hand: (
      run: (call: { readonly signal: AbortSignal }) => Promise<number>,
      signal: AbortSignal,
    ) => AsyncResult<number> | undefined,
  ): Tracked {
    const controller = new AbortController()
    const end = Promise.withResolvers<number>()
    end.promise.catch(() => {})
    const facts = { starts: 0, startedAs: undefined as number | undefined, ended: false }
    const run = (call: { readonly signal: AbortSignal }): Promise<number> => {
      facts.starts += 1
      facts.startedAs = this.#started++
      assert.ok(this.#pool.running <= this.#pool.capacity, 'more run than there are slots')
      if (obeys) call.signal.addEventListener('abort', () => end.reject(call.signal.reason))
      return end.promise.finally(() => (facts.ended = true))
    }
    const result = hand(run, controller.signal)
    const task: Tracked = {
      id: this.tasks.length,
      priority,
      obeys,
      controller,
      end,
      result,
      outcome: undefined,
      error: undefined,
      get starts() {
        return facts.starts
      },
      get startedAs() {
        return facts.startedAs
      },
      get ended() {
        return facts.ended
      },
    }
    this.tasks.push(task)
    return task
  }

  /** Within a priority, who started came in the order of submitting. */
  #checkOrder(): void {
    const last = new Map<number, number>()
    for (const { priority, startedAs, id } of this.tasks) {
      if (startedAs === undefined) continue
      assert.ok(startedAs > (last.get(priority) ?? -1), `task ${id} overtook one of its priority`)
      last.set(priority, startedAs)
    }
  }

  #checkSum(stats: PoolStats): void {
    const settled =
      stats.completed +
      stats.failed +
      stats.cancelled +
      stats.timedOut +
      stats.rejected +
      stats.dropped +
      stats.closed
    const open = stats.submitted - settled
    const { waiting, blocked, running } = this.#pool
    assert.ok(open >= waiting + blocked && open <= waiting + blocked + running, JSON.stringify(stats))
    assert.equal(stats.submitted, this.tasks.length)
  }

  #wait(promise: Promise<unknown>): void {
    this.#pendingWaits += 1
    const settled = (): void => void (this.#pendingWaits -= 1)
    this.#waits.push(promise.then(settled, settled))
  }

  #running(pick: number): Tracked | undefined {
    const running = this.tasks.filter((task) => task.starts > 0 && !task.ended)
    return running[pick % Math.max(1, running.length)]
  }

  #any(pick: number): Tracked | undefined {
    return this.tasks[pick % Math.max(1, this.tasks.length)]
  }
}

/** A task that never ran says why; one that did, too, or has the outcome of its function. */
function checkOutcome(task: Tracked): void {
  if (task.outcome === 'fulfilled') {
    assert.ok(task.starts === 1, 'a value without a run')
    return
  }
  const code = isSluiceError(task.error) ? task.error.code : (task.error as Error).message
  const whenWaiting = ['SLUICE_POOL_FULL', 'SLUICE_DROPPED']
  const always = ['SLUICE_POOL_CLOSED', 'SLUICE_TIMEOUT', 'SLUICE_CANCELLED', 'caller left']
  const allowed = task.starts === 0 ? [...whenWaiting, ...always] : ['task failed', ...always]
  assert.ok(allowed.includes(code), `task ${task.id} (started ${task.starts}) ended with ${code}`)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

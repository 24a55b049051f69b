/** Several processes on one server. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { serverAt } from '../../support/servers.ts'
import { connectRedis, ownPrefix } from './support.ts'

const server = await serverAt('redis')

interface Turn {
  readonly token: number
  readonly count: number
}

test(
  'two processes take a lock in turn, and the fencing tokens tell the order',
  { skip: server.skip, timeout: 60_000 },
  async () => {
    const keyPrefix = ownPrefix()
    const rounds = 20
    const turns: Turn[] = []
    const holders = [1, 2].map(() => {
      const child = fork(
        new URL('./lock-holder.ts', import.meta.url),
        [server.url, keyPrefix, String(rounds)],
        { execArgv: ['--conditions=sluice-source'] },
      )
      child.on('message', (turn) => turns.push(turn as Turn))
      return once(child, 'exit')
    })
    assert.deepEqual(await Promise.all(holders), [
      [0, null],
      [0, null],
    ])
    const byToken = turns.toSorted((left, right) => left.token - right.token)
    assert.deepEqual(
      byToken.map(({ count }) => count),
      Array.from({ length: 2 * rounds }, (_, at) => at + 1),
    )
    assert.equal(new Set(turns.map(({ token }) => token)).size, 2 * rounds)
    await using connected = await connectRedis({ addr: server.url, keyPrefix })
    await connected.cache.del(['count', 'lock:shared', 'lock-fence'])
  },
)

test(
  'two processes on one rate limit never get more than it gives out',
  { skip: server.skip, timeout: 60_000 },
  async () => {
    const keyPrefix = ownPrefix()
    const [limit, windowMs] = [50, 500]
    const takers = await forkTwo('./rate-taker.ts', [keyPrefix, String(limit), String(windowMs)])
    const startedAt = performance.now()
    const takings = takers.map(async (taker) => {
      taker.send('go')
      return (await once(taker, 'message'))[0] as { readonly allowed: number; readonly asked: number }
    })
    const taken = await Promise.all(takings)
    const elapsedMs = performance.now() - startedAt
    await Promise.all(takers.map((taker) => endOf(taker)))
    const allowed = taken.reduce((sum, each) => sum + each.allowed, 0)
    const most = limit * (1 + elapsedMs / windowMs)
    assert.ok(allowed <= most, `${allowed} of at most ${most} within ${elapsedMs} ms`)
    // Who was refused found nothing left of the first fill; each was then given at least one more.
    assert.ok(allowed >= limit + 2, `${allowed}: less than what was there`)
    for (const each of taken) assert.ok(each.asked > each.allowed, 'each was refused at times')
  },
)

test(
  'of two processes that rotate one session at the same time one wins, and its id is the session',
  { skip: server.skip, timeout: 60_000 },
  async () => {
    const keyPrefix = ownPrefix()
    const rotators = await forkTwo('./session-rotator.ts', [keyPrefix])
    await using connected = await connectRedis({ addr: server.url, keyPrefix })
    const sessions = connected.cache.sessions<{ user: number }>()
    for (let user = 0; user < 50; user += 1) {
      const id = await sessions.create({ user })
      const answers = rotators.map(async (rotator) => {
        rotator.send(id)
        return ((await once(rotator, 'message'))[0] as { readonly next: string | null }).next
      })
      const won = (await Promise.all(answers)).filter((next) => next !== null)
      assert.equal(won.length, 1)
      assert.deepEqual(await sessions.get(won[0]!), { user })
      assert.equal(await sessions.get(id), null)
      await sessions.destroy(won[0]!)
    }
    for (const rotator of rotators) rotator.disconnect()
    await Promise.all(rotators.map((rotator) => endOf(rotator)))
  },
)

/** Two processes of this program, when both have connected. */
async function forkTwo(program: string, args: readonly string[]): Promise<readonly ChildProcess[]> {
  const children = [1, 2].map(() =>
    fork(new URL(program, import.meta.url), [server.url, ...args], {
      execArgv: ['--conditions=sluice-source'],
    }),
  )
  await Promise.all(children.map((child) => once(child, 'message')))
  return children
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode === null) await once(child, 'exit')
  assert.equal(child.exitCode, 0)
}

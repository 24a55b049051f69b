import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'

const PROGRAM = join(import.meta.dirname, 'programs/service.ts')

interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  readonly url: string
  /** All that was written to standard output and error so far. */
  readonly output: string
  /** Resolves when the output holds `text`. */
  says(text: string | RegExp): Promise<void>
  readonly exit: Promise<number | string>
}

/** What runs a program without the rights of root. */
const asOrdinaryUser: readonly string[] =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : []

/** Starts the program; resolves when it has said `until`. */
async function run(
  env: Record<string, string> = {},
  until: string | RegExp = /listens on/,
  through: readonly string[] = [],
): Promise<Running> {
  const [command, ...args] = [...through, process.execPath, '--conditions=sluice-source', PROGRAM]
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += String(text)
      for (const look of waiting) look()
    })
  }
  const exit = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  const says = (text: string | RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (typeof text === 'string' ? !output.includes(text) : !text.test(output)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      void exit.then(() => reject(new Error(`ended without saying ${String(text)}:\n${output}`)))
      look()
    })
  await says(until)
  return {
    child,
    url: /"url":"([^"]+)"/.exec(output)?.[1] ?? '',
    get output() {
      return output
    },
    says,
    exit,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exit
    },
  }
}

test('SIGTERM ends the program with 0, services first and components in reverse', async () => {
  await using program = await run()
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
  assert.match(program.output, /stopped work[^]*closed cache[^]*closed db[^]*run resolved with 0/)
})

test('SIGINT does the same, and a signal within half a second of the first is the same one', async () => {
  await using program = await run({ DRAIN: '300ms' })
  // It signals itself, so that no busy machine lies between the signals.
  await fetch(`${program.url}/interrupt-thrice`)
  await program.says('SIGINT: stopping')
  assert.equal(await program.exit, 0)
  assert.doesNotMatch(program.output, /again: not waiting/)
})

test('a signal that comes when all has been stopped does not take the place of the exit code', async () => {
  await using program = await run({ BEHAVIOUR: 'signal-at-the-end' })
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
  assert.match(program.output, /run resolved with 0/)
})

test('SIGHUP, as of a terminal that closes, stops as SIGTERM does, and a later second one gives 129', async () => {
  await using program = await run()
  program.child.kill('SIGHUP')
  assert.equal(await program.exit, 0)
  assert.match(program.output, /SIGHUP: stopping/)
  assert.match(program.output, /stopped work[^]*closed cache[^]*closed db[^]*run resolved with 0/)

  await using hangs = await run({ BEHAVIOUR: 'start-hangs' }, 'the start hangs')
  hangs.child.kill('SIGHUP')
  await hangs.says('SIGHUP: stopping')
  // Real time: what is a duplicate is a matter of the process's own clock.
  await new Promise((resolve) => setTimeout(resolve, 600))
  hangs.child.kill('SIGHUP')
  assert.equal(await hangs.exit, 129)
})

test("SIGHUP is the program's own where it says so", async () => {
  await using program = await run({ BEHAVIOUR: 'hangup-is-mine' })
  program.child.kill('SIGHUP')
  await program.says('read again')
  assert.equal((await fetch(`${program.url}/ping`)).status, 200)
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
  assert.doesNotMatch(program.output, /SIGHUP/)
})

test('a later second signal skips the waiting and gives 143', async () => {
  await using program = await run({ DRAIN: '8s', BUDGET: '20s' })
  const began = performance.now()
  program.child.kill('SIGTERM')
  await program.says('program stops')
  // Real time: what is a duplicate is a matter of the process's own clock.
  await new Promise((resolve) => setTimeout(resolve, 600))
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 143)
  assert.ok(performance.now() - began < 8_000, 'sooner than the drain delay alone')
  assert.match(program.output, /closed cache[^]*closed db/)
})

test('a second signal ends a start that hangs, with 143', async () => {
  await using program = await run({ BEHAVIOUR: 'start-hangs' }, 'the start hangs')
  const began = performance.now()
  program.child.kill('SIGTERM')
  // Real time: what is a duplicate is a matter of the process's own clock.
  await new Promise((resolve) => setTimeout(resolve, 600))
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 143)
  assert.ok(performance.now() - began < 9_000, 'sooner than the start would have been over')
})

test('SIGTERM while a component connects, and ignores its signal, ends the program with 70 and its name', async () => {
  await using program = await run({ BEHAVIOUR: 'connect-hangs' })
  program.child.kill('SIGTERM')
  await program.says('closed db')
  assert.equal(await program.exit, 70)
  assert.match(program.output, /close db/)
})

test('a close that hangs gives 70 and its name; one that throws gives 1; the others are closed', async () => {
  await using hangs = await run({ BEHAVIOUR: 'close-hangs' })
  hangs.child.kill('SIGTERM')
  assert.equal(await hangs.exit, 70)
  assert.match(hangs.output, /"step":"close cache"[^]*closed db|closed db[^]*"step":"close cache"/)
  await using throws = await run({ BEHAVIOUR: 'close-throws' })
  throws.child.kill('SIGTERM')
  assert.equal(await throws.exit, 1)
  assert.match(throws.output, /cannot close/)
})

test('an event loop that is blocked during the shutdown is ended by the watchdog with 70 and the step', async () => {
  await using program = await run({ BEHAVIOUR: 'stop-blocks', BUDGET: '2s' })
  program.child.kill('SIGTERM')
  // Without the watchdog it would never end.
  assert.equal(await program.exit, 70)
  assert.match(program.output, /\\"stop service work\\" was under way/)
  assert.match(program.output, /programs\/service\.ts:\d+/, 'the stack names the place')
})

test('an event loop that is blocked when SIGTERM comes is ended within the budget', async () => {
  await using program = await run({ BUDGET: '3s' })
  // The watchdog begins two seconds after the start.
  await new Promise((resolve) => setTimeout(resolve, 2_300))
  const blocked = fetch(`${program.url}/block`).catch(() => undefined)
  await program.says('the event loop has been blocked')
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 70)
  assert.match(program.output, /programs\/service\.ts:\d+/)
  await blocked
})

test('a handler that blocks the event loop for five seconds is reported with its place, and the service goes on', async () => {
  // A loop that is blocked for the whole budget of a stop would be ended.
  await using program = await run({ BUDGET: '20s' })
  // The watchdog begins two seconds after the start.
  await new Promise((resolve) => setTimeout(resolve, 2_300))
  const blocked = fetch(`${program.url}/block-for-five-seconds`)
  const alive = fetch(`${program.url}/livez`)
  await program.says('the event loop has been blocked')
  assert.match(program.output, /programs\/service\.ts:\d+/, 'the stack names the place')
  assert.equal((await blocked).status, 200)
  assert.equal((await alive).status, 200, 'late, and not refused')
  assert.equal((await fetch(`${program.url}/livez`)).status, 200)
})

test('an exception that nobody caught stops the program with 1 and its cause in the log', async () => {
  await using thrown = await run()
  await fetch(`${thrown.url}/throw-later`)
  assert.equal(await thrown.exit, 1)
  assert.match(thrown.output, /thrown by a timer[^]*closed cache|closed cache[^]*thrown by a timer/)
  await using rejected = await run()
  await fetch(`${rejected.url}/reject-later`)
  assert.equal(await rejected.exit, 1)
  assert.match(rejected.output, /rejected and nobody looked/)
  assert.match(rejected.output, /the cause/)
})

test('an error event that nobody listens to, and a second throw while stopping, are logged and end with 1', async () => {
  await using program = await run({ BEHAVIOUR: 'stop-throws-aside' })
  await fetch(`${program.url}/error-event`)
  assert.equal(await program.exit, 1)
  assert.match(program.output, /emitted and nobody listened[^]*"msg":"uncaught exception: stopping"/)
  assert.match(program.output, /thrown during the stop[^]*"msg":"uncaught exception while stopping"/)
  assert.match(program.output, /stopped work[^]*closed cache[^]*closed db[^]*run resolved with 1/)
})

test('a failed operation that nobody awaited is logged and counted, and ends nothing', async () => {
  await using program = await run()
  await fetch(`${program.url}/unawaited-result`)
  await program.says('failed and nobody awaited')
  const metrics = await (await fetch(`${program.url}/metrics`)).text()
  assert.match(metrics, /^sluice_unawaited_failures_total\{.*\} 1$/m)
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
})

test('a port in use gives 71, a wrong configuration 78, each with what to do', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  assert.ok(typeof address === 'object' && address !== null)
  await using taken = await run({ TEST_PORT: String(address.port) }, /APP_PORT/)
  assert.equal(await taken.exit, 71)
  await using wrong = await run({ LOG_LEVEL: 'loud', APP_BODY_LIMIT: 'much' }, /2 faults/)
  assert.equal(await wrong.exit, 78)
  assert.match(wrong.output, /LOG_LEVEL[^]*APP_BODY_LIMIT|APP_BODY_LIMIT[^]*LOG_LEVEL/)
  await new Promise((resolve) => other.close(resolve))
})

const firstOpenPort = readFirstOpenPort()
const skip = whyAnyPortOpens()

test('a port that the user may not open gives 71 and says to set APP_PORT', { skip }, async () => {
  const env = { TEST_PORT: String(firstOpenPort - 1) }
  await using refused = await run(env, /APP_PORT/, asOrdinaryUser)
  assert.equal(await refused.exit, 71)
  assert.match(refused.output, /permission|EACCES/i)
  assert.match(refused.output, /set APP_PORT to a higher one/)
  assert.doesNotMatch(refused.output, /listens on/)
})

/** From this port on any user may listen; 0 where the system tells of no such limit. */
function readFirstOpenPort(): number {
  const path = '/proc/sys/net/ipv4/ip_unprivileged_port_start'
  return existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0
}

function whyAnyPortOpens(): false | string {
  if (firstOpenPort <= 1) return 'any user may open any port here'
  const [command, ...args] = [...asOrdinaryUser, process.execPath, '--check', PROGRAM]
  const { status, error } = spawnSync(command, args)
  return status === 0 ? false : `this program cannot be run as another user (${error?.message ?? status})`
}

test('a reader of the log that goes away does not end the program', async () => {
  await using program = await run()
  program.child.stdout?.destroy()
  for (let index = 0; index < 20; index++) await fetch(`${program.url}/unawaited-result`)
  assert.equal((await fetch(`${program.url}/livez`)).status, 200)
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
})

test('a reader of the output that is gone before the start does not end the program', async () => {
  const child = spawn(process.execPath, ['--conditions=sluice-source', PROGRAM], {
    env: { PATH: process.env['PATH'], BEHAVIOUR: 'reader-is-gone' },
    stdio: 'pipe',
  })
  try {
    const exit = once(child, 'close')
    child.stdout.destroy()
    await once(child.stdout, 'close')
    child.stdin.end('go')
    let said = ''
    for await (const text of child.stderr.setEncoding('utf8')) {
      const hadBegun = said.includes('work has begun')
      said += String(text)
      // Once: a second signal would skip the waiting.
      if (!hadBegun && said.includes('work has begun')) child.kill('SIGTERM')
    }
    assert.equal((await exit)[0], 0, said)
    assert.match(said, /run resolved with 0/)
  } finally {
    child.kill('SIGKILL')
  }
})

test('what is left open does not keep the process alive, and is named', async () => {
  await using program = await run({ BEHAVIOUR: 'leaks' })
  program.child.kill('SIGTERM')
  assert.equal(await program.exit, 0)
  assert.match(program.output, /"resources":\[[^\]]*"Timeout"/)
})

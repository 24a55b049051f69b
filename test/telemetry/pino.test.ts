import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { pino } from 'pino'
import { SluiceError } from '../../src/core/errors.ts'
import { runInContext } from '../../src/telemetry/context.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { parseLevel } from '../../src/telemetry/log-line.ts'
import { createLogger, MAX_KEPT, type LoggerOptions } from '../../src/telemetry/pino.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

function setup(options: LoggerOptions = {}) {
  const lines: string[] = []
  const clock = new ManualClock(Date.UTC(2026, 0, 1, 12, 3, 4))
  const stream = { write: (text: string) => lines.push(text) }
  const log = createLogger({ clock, stream, base: { service: 'todo' }, pretty: false, ...options })
  const parsed = (): Record<string, unknown>[] => lines.map((line) => JSON.parse(line))
  return { log, lines, clock, parsed }
}

test('lines before the log is open are kept and go out in order with their own times', async () => {
  const { log, lines, clock, parsed } = setup()
  log.info({ n: 1 }, 'first')
  clock.jump(50)
  log.child({ component: 'db' }).warn({ n: 2 }, 'second')
  assert.deepEqual(lines, [])
  clock.jump(1_000)
  await log.load()
  log.error({}, 'third')
  const start = Date.UTC(2026, 0, 1, 12, 3, 4)
  assert.deepEqual(parsed(), [
    { level: 30, time: start, service: 'todo', n: 1, msg: 'first' },
    { level: 40, time: start + 50, service: 'todo', component: 'db', n: 2, msg: 'second' },
    { level: 50, time: start + 1_050, service: 'todo', msg: 'third' },
  ])
})

test('more lines than are kept are counted, and the count is logged', async () => {
  const { log, parsed } = setup()
  for (let n = 0; n < MAX_KEPT + 7; n += 1) log.info({ n }, 'flood')
  await log.load()
  assert.equal(parsed().length, MAX_KEPT + 1)
  assert.equal(parsed().at(-1)?.['leftOut'], 7)
})

test('lines below the level are left out', async () => {
  const { log, parsed } = setup({ level: 'warn' })
  log.debug({}, 'a')
  log.info({}, 'b')
  log.warn({}, 'c')
  await log.load()
  assert.deepEqual(
    parsed().map(({ msg }) => msg),
    ['c'],
  )
  const silent = setup({ level: 'silent' })
  silent.log.error({}, 'nothing')
  await silent.log.load()
  assert.deepEqual(silent.lines, [])
})

test('a line carries the id of the request it was written in', async () => {
  const { log, parsed } = setup()
  runInContext({ requestId: 'r-1' }, () => log.info({}, 'inside'))
  log.info({}, 'outside')
  await log.load()
  assert.deepEqual(
    parsed().map(({ requestId }) => requestId),
    ['r-1', undefined],
  )
})

test('fields, messages and errors are redacted', async () => {
  const { log, lines, parsed } = setup()
  const cause = new Error('no route to redis://admin:canary-1@cache:6379')
  log.error({ err: new Error('failed', { cause }), password: 'canary-2' }, 'at postgres://u:canary-3@db/x')
  await log.load()
  assert.doesNotMatch(lines.join(''), /canary/)
  const [line] = parsed()
  assert.equal(line?.['msg'], 'at postgres://***@db/x')
  assert.partialDeepStrictEqual(line, { err: { type: 'Error', cause: { type: 'Error' } } })
})

test('a field that throws when it is read is told of in its place, and the others are kept', async () => {
  const { log, parsed } = setup()
  const bad = {
    a: 1,
    get bad(): never {
      throw new Error('getter of redis://:canary@cache')
    },
  }
  log.info(bad, 'own')
  log.child({ component: 'db' }).info({ n: 1, nested: bad }, 'nested')
  log.child(bad).info('bound')
  await log.load()
  const unprintable = '[unprintable: getter of redis://***@cache]'
  assert.partialDeepStrictEqual(parsed(), [
    { a: 1, bad: unprintable, msg: 'own' },
    { component: 'db', n: 1, nested: unprintable, msg: 'nested' },
    { a: 1, bad: unprintable, msg: 'bound' },
  ])
})

test('a call holds a message, fields or an error, the latter two with or without a message', async () => {
  const { log, parsed } = setup()
  const error = new SluiceError('SLUICE_AUTH', 'refused for redis://:canary@cache')
  log.info('started')
  log.info({ n: 1 })
  log.error(error)
  log.error(error, 'failed')
  log.error({ err: error, n: 2 })
  log.info({ msg: 'as a field', n: 3 })
  log.child({ component: 'db' }).warn(new TypeError('wrong'))
  await log.load()
  const err = { type: 'SluiceError', code: 'SLUICE_AUTH', message: 'refused for redis://***@cache' }
  assert.partialDeepStrictEqual(parsed(), [
    { level: 30, msg: 'started' },
    { level: 30, n: 1, msg: '' },
    { level: 50, err, msg: err.message },
    { level: 50, err, msg: 'failed' },
    { level: 50, err, n: 2, msg: err.message },
    { level: 30, n: 3, msg: 'as a field' },
    { level: 40, component: 'db', err: { type: 'TypeError' }, msg: 'wrong' },
  ])
})

/** A logger in the hands of a program without types. */
interface Unchecked {
  info(...args: readonly unknown[]): void
  child(fields: unknown): Logger
}

test('whatever a call is given, it does not throw and one line says what there was', async () => {
  const cyclic: Record<string, unknown> = { n: 1 }
  cyclic['self'] = cyclic
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const trap = (): never => {
    throw new Error('trap')
  }
  const proxy = new Proxy({}, { get: trap, ownKeys: trap, getPrototypeOf: trap })
  const hostile = Object.defineProperty(new Error('x'), 'message', { get: trap })
  const throwsProxy = {
    get bad(): never {
      // oxlint-disable-next-line typescript/only-throw-error -- the worst that a getter can do
      throw proxy
    },
  }
  const cases: readonly (readonly [args: readonly unknown[], line: Record<string, unknown>])[] = [
    [[], { msg: '' }],
    [[undefined], { msg: '' }],
    [[null, undefined], { msg: '' }],
    [[{}, null], { msg: '' }],
    [[42n], { value: '42', msg: '' }],
    [[true, 'text'], { value: true, msg: 'text' }],
    [[Symbol('s'), 'text'], { value: '[symbol]', msg: 'text' }],
    [[() => 1, 'text'], { value: '[function]', msg: 'text' }],
    [[{ big: 1n, no: undefined, nan: Number.NaN }, 'text'], { big: '1', nan: 'NaN', msg: 'text' }],
    [[[1, 2], 'text'], { value: [1, 2], msg: 'text' }],
    [[new Map([['a', 1]]), 'text'], { value: { a: 1 }, msg: 'text' }],
    [[new Date(0)], { value: '1970-01-01T00:00:00.000Z' }],
    [[Object.create(null), 'text'], { msg: 'text' }],
    [[cyclic, 'text'], { n: 1, msg: 'text' }],
    [[revoked.proxy, 'text'], { unprintable: /revoked/, msg: 'text' }],
    [[proxy, 'text'], { unprintable: 'trap', msg: 'text' }],
    [[{ proxy }, 'text'], { proxy: '[unprintable: trap]', msg: 'text' }],
    [[hostile], { err: '[unprintable: trap]', msg: '' }],
    [[hostile, 'text'], { err: '[unprintable: trap]', msg: 'text' }],
    [[throwsProxy, 'text'], { bad: '[unprintable: no reason given]', msg: 'text' }],
    // The order of console.error.
    [['text', new TypeError('late')], { err: { type: 'TypeError' }, msg: 'text' }],
    [['text', { n: 1 }], { n: 1, msg: 'text' }],
    [['user %s', 'Ada'], { value: 'Ada', msg: 'user %s' }],
    [[{ n: 1 }, new Error('late')], { n: 1, err: { message: 'late' }, msg: 'late' }],
    [[{ n: 1 }, 7], { n: 1, value: 7, msg: '' }],
  ]
  for (const pretty of [false, true]) {
    for (const [args, expected] of cases) {
      for (const child of [false, true]) {
        const { log, lines, parsed } = setup({ pretty })
        const own = child ? log.child({ component: 'db' }) : log
        ;(own as unknown as Unchecked).info(...args)
        await log.load()
        assert.equal(lines.length, 1)
        if (pretty) continue
        const line = { ...parsed()[0] }
        const { unprintable } = expected
        if (unprintable instanceof RegExp) {
          assert.match(String(line['unprintable']), unprintable)
          line['unprintable'] = unprintable
        }
        assert.partialDeepStrictEqual(line, child ? { component: 'db', ...expected } : expected)
      }
    }
  }
  const { log, parsed } = setup()
  for (const given of [undefined, null, 1n, 'text', proxy, revoked.proxy, hostile, cyclic, throwsProxy]) {
    const child = (log as unknown as Unchecked).child(given)
    child.info({ n: 1 }, 'of a child')
  }
  await log.load()
  assert.equal(parsed().filter(({ n, msg }) => n === 1 && msg === 'of a child').length, 9)
})

test('a redactor that throws costs the line, which says so, and shows nothing that was not redacted', async () => {
  const redact = (): never => {
    throw new Error('broken')
  }
  const { log, lines, parsed } = setup({ redact })
  log.error({ password: 'canary', note: 'canary' }, 'canary')
  await log.load()
  assert.doesNotMatch(lines.join(''), /canary/)
  assert.partialDeepStrictEqual(parsed(), [
    { level: 50, unprintable: 'broken', msg: 'a log line could not be written' },
  ])
})

test('no line holds a key twice: what is said later wins', async () => {
  const hostile = JSON.parse(
    '{"__proto__":1,"level":"gold","time":"noon","msg":"field","service":"x"}',
  ) as object
  const kept = setup()
  const open = setup()
  await open.log.load()
  for (const { log } of [kept, open]) {
    log.child({ component: 'a' }).info({ component: 'b' }, 'component')
    log.child({ component: 'a', level: 1 }).child({ component: 'b', time: 2 }).info({}, 'children')
    log.info(hostile, 'all')
    log.child(hostile).info('bound')
    log.child(hostile).error(new Error('x'))
    log.info({ err: new Error('x'), nested: new Map<unknown, unknown>([[1, 'a'], ['1', 'b']]) }, 'map') // prettier-ignore
    log.info({ pid: 1, hostname: 'h', v: 1, requestId: 'own' }, 'base')
    runInContext({ requestId: 'r-1' }, () => log.info({ requestId: 'own' }, 'request'))
  }
  await kept.log.load()
  assert.deepEqual(kept.lines, open.lines)
  for (const line of open.lines) assert.deepEqual(repeatedKeys(line), [], line)
  assert.partialDeepStrictEqual(open.parsed(), [
    { level: 30, component: 'b', msg: 'component' },
    { level: 1, time: 2, component: 'b', msg: 'children' },
    { level: 'gold', time: 'noon', service: 'x', msg: 'all' },
    { level: 'gold', msg: 'bound' },
    { level: 'gold', msg: 'x' },
    { nested: { 1: 'b' } },
    { pid: 1, requestId: 'own' },
    { requestId: 'own' },
  ])
})

test('the search for repeated keys finds one at any depth', () => {
  assert.deepEqual(repeatedKeys('{"a":1,"b":{"c":[{"d":1,"d":2}],"a":"a\\",\\"b"},"a":{}}'), ['d', 'a'])
})

/** The keys that stand twice in one object of a JSON text, which JSON.parse would hide. */
function repeatedKeys(json: string): string[] {
  const repeated: string[] = []
  const open: Set<string>[] = []
  for (const [token, text, colon] of json.matchAll(/("(?:[^"\\]|\\.)*")(:)?|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (colon !== undefined) {
      const key = JSON.parse(text!) as string
      if (open.at(-1)!.has(key)) repeated.push(key)
      open.at(-1)!.add(key)
    }
  }
  return repeated
}

test('a stream that throws does not reach the caller', async () => {
  const stream = {
    write: (): never => {
      throw new Error('EPIPE')
    },
  }
  for (const pretty of [true, false]) {
    const log = createLogger({ stream, pretty })
    log.info({}, 'kept')
    await log.load()
    log.info({}, 'written')
    await log.flush()
  }
})

test('a readable line holds time, level, component, message and facts, and no control characters', async () => {
  const { log, lines } = setup({ pretty: true })
  log.child({ component: 'db' }).warn({ attempts: 2, note: 'a b\u001B[31m' }, 'slow\nquery')
  log.error({ err: new Error('broken', { cause: new Error('deeper') }) }, 'failed')
  await log.load()
  const plain = lines.map((line) => stripVTControlCharacters(line))
  assert.equal(plain[0], '12:03:04.000 WARN  db: slow\\nquery  attempts=2 note="a b\\u001b[31m"\n')
  assert.match(
    plain[1]!,
    /^12:03:04\.000 ERROR failed\n {2}Error: broken\n[^]*\n {2}caused by:\n {4}Error: deeper\n/,
  )
})

function unreachable(): SluiceError {
  const parts = ['::1', '127.0.0.1'].map((host) => new Error(`connect ECONNREFUSED ${host}:5999`))
  const cause = new TypeError('no\nroute', { cause: new AggregateError(parts) })
  return new SluiceError('SLUICE_UNAVAILABLE', 'cannot connect to 127.0.0.1:5999', {
    cause,
    hint: 'Is it running?',
  })
}

async function readable(write: (log: Logger) => void, options: LoggerOptions = {}): Promise<string> {
  const { log, lines } = setup({ pretty: true, ...options })
  write(log)
  await log.load()
  return stripVTControlCharacters(lines.join(''))
}

test('on a terminal an expected failure is its message, its hint and a line for each cause', async () => {
  const below = [
    '  SLUICE_UNAVAILABLE: cannot connect to 127.0.0.1:5999',
    '  hint: Is it running?',
    '  caused by: TypeError: no route',
    '  caused by: Error: connect ECONNREFUSED ::1:5999',
    '  caused by: Error: connect ECONNREFUSED 127.0.0.1:5999',
    '',
  ].join('\n')
  const err = unreachable()
  const fields = { err, code: err.code }
  assert.equal(
    await readable((log) => log.error(fields, 'seed did not start')),
    `12:03:04.000 ERROR seed did not start\n${below}`,
  )
  assert.equal(await readable((log) => log.warn(fields, 'away')), `12:03:04.000 WARN  away\n${below}`)
  assert.equal(await readable((log) => log.info(fields, 'away')), `12:03:04.000 INFO  away\n${below}`)
  assert.equal(
    await readable((log) => log.warn({ err: new TypeError('wrong', { cause: 'a text' }) }, 'odd')),
    '12:03:04.000 WARN  odd\n  TypeError: wrong\n  caused by: "a text"\n',
  )
})

test('on a terminal a message that is the error’s own is not repeated', async () => {
  assert.equal(
    await readable((log) => log.warn(new SluiceError('SLUICE_AUTH', 'refused', { hint: 'Log in.' }))),
    '12:03:04.000 WARN  refused\n  SLUICE_AUTH\n  hint: Log in.\n',
  )
  assert.equal(await readable((log) => log.warn(new Error('odd'))), '12:03:04.000 WARN  odd\n')
})

test('a message of many lines keeps them, and the lines of causes are limited', async () => {
  const config = new SluiceError('SLUICE_CONFIG', 'two faults:\n- a\n- b')
  assert.equal(
    await readable((log) => log.error({ err: config }, 'no')),
    '12:03:04.000 ERROR no\n  SLUICE_CONFIG: two faults:\n  - a\n  - b\n',
  )
  const many = (depth: number): Error =>
    new AggregateError(
      Array.from({ length: 10 }, () => (depth === 0 ? new Error('leaf') : many(depth - 1))),
      'all',
    )
  const text = await readable((log) => log.warn({ err: many(2) }, 'many'))
  assert.equal(text.split('\n').length, 14)
  assert.match(text, /\n {2}caused by: more\n$/)
})

test('on a terminal stacks are for the unexpected and for the debug level', async () => {
  const stack = /\n {2,}at /
  const err = unreachable()
  const plain = new Error('boom', { cause: new Error('deeper') })
  const defect = new SluiceError('SLUICE_INTERNAL', 'a defect')
  const debug = { level: 'debug' } as const
  assert.match(await readable((log) => log.error(plain)), stack)
  assert.match(await readable((log) => log.error(plain)), /\n {2}caused by:\n {4}Error: deeper\n {4} +at /)
  assert.match(await readable((log) => log.error(defect)), stack)
  assert.doesNotMatch(await readable((log) => log.warn(plain)), stack)
  assert.doesNotMatch(await readable((log) => log.error(err)), stack)
  assert.match(await readable((log) => log.debug({ err }, 'x'), debug), stack)
  const whole = await readable((log) => log.warn({ err }, 'x'), debug)
  assert.match(whole, stack)
  assert.match(whole, /ECONNREFUSED 127\.0\.0\.1:5999\n[^]*\n {2}hint: Is it running\?\n$/)
})

test('JSON lines keep stack, hint and causes of an expected failure', async () => {
  const { log, parsed } = setup()
  log.warn(unreachable())
  await log.load()
  const { err } = parsed()[0] as { err: Record<string, unknown> }
  assert.match(String(err['stack']), /\n {4}at /)
  assert.partialDeepStrictEqual(err, { hint: 'Is it running?', cause: { type: 'TypeError' } })
  const { cause } = err['cause'] as { cause: { errors: unknown[] } }
  assert.equal(cause.errors.length, 2)
})

test('a readable line names its component once', async () => {
  const head = async (component: unknown, message: string): Promise<string> =>
    (await readable((log) => log.child({ component }).info(message))).slice('12:03:04.000 INFO  '.length, -1)
  assert.equal(await head('cache', 'cache is ready'), 'cache is ready')
  assert.equal(await head('db', 'db: ran 3 migrations'), 'db: ran 3 migrations')
  assert.equal(await head('db', 'db'), 'db')
  assert.equal(await head('db', 'dbx is ready'), 'db: dbx is ready')
  assert.equal(await head('db', 'db-2 is ready'), 'db: db-2 is ready')
  assert.equal(await head('db', 'ready is db'), 'db: ready is db')
  assert.equal(await head('', 'ready'), 'ready')
  assert.equal(await head(7, 'ready'), 'ready  component=7')
})

test('loggers of pino and of older shapes fit', async () => {
  const texts: string[] = []
  const ofPino: Logger = pino({ base: null }, { write: (text) => void texts.push(text) })
  ofPino.info('a')
  ofPino.child({ c: 1 }).error(new Error('b'), 'b')
  assert.deepEqual(
    texts.map((text) => (JSON.parse(text) as Record<string, unknown>)['msg']),
    ['a', 'b'],
  )
  const seen: unknown[] = []
  const write = (fields: object, message: string): void => void seen.push(fields, message)
  const older: Logger = { debug: write, info: write, warn: write, error: write, child: () => older }
  older.info({ n: 1 }, 'm')
  assert.deepEqual(seen, [{ n: 1 }, 'm'])
  const messages: (string | undefined)[] = []
  const own: Logger = { ...older, warn: (_what, message) => void messages.push(message) }
  own.warn('alone')
  own.warn({}, 'm')
  assert.deepEqual(messages, [undefined, 'm'])
})

const PROGRAM = `
  import { createLogger } from '${new URL('../../src/telemetry/pino.ts', import.meta.url).href}'
  const log = createLogger({ base: {} })
`

function run(code: string) {
  return spawnSync(process.execPath, ['--input-type=module-typescript', '-e', PROGRAM + code], {
    encoding: 'utf8',
  })
}

test('a process that exits before the log is open still writes what was kept', () => {
  const { stdout, status } = run(`log.info({ a: 1 }, 'last words'); process.exit(3)`)
  assert.equal(status, 3)
  const { time, ...line } = JSON.parse(stdout) as Record<string, unknown>
  assert.equal(typeof time, 'number')
  assert.deepEqual(line, { level: 30, a: 1, msg: 'last words' })
})

test('lines written right before an exit with the log open arrive', () => {
  const { stdout } = run(
    `await log.load(); for (let i = 0; i < 100; i++) log.info({ i }, 'x'); process.exit(0)`,
  )
  assert.equal(stdout.trim().split('\n').length, 100)
})

test('flush waits until the lines are out', () => {
  const { stdout } = run(`log.info({}, 'a'); await log.flush(); log.info({}, 'b'); await log.flush()`)
  assert.equal(stdout.trim().split('\n').length, 2)
})

test('a reader that goes away does not end the process', async () => {
  const code = `
    await log.load()
    process.on('SIGPIPE', () => {})
    log.info({}, 'first')
    process.once('message', () => {
      let left = 2_000
      const more = () => {
        log.info({ pad: 'x'.repeat(1_000) }, 'more')
        if (--left > 0) setImmediate(more)
        else void log.flush().then(() => { process.send('alive'); process.disconnect() })
      }
      more()
    })
  `
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', PROGRAM + code], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  await once(child.stdout!, 'data')
  child.stdout!.destroy()
  const alive = once(child, 'message')
  const exited = once(child, 'exit')
  child.send('go on')
  assert.deepEqual((await alive)[0], 'alive')
  assert.deepEqual(await exited, [0, null])
})

test('a level is read from the names and numbers of pino and OpenTelemetry', () => {
  const expected = {
    DEBUG: 'debug',
    ' Warn ': 'warn',
    trace: 'debug',
    fatal: 'error',
    off: 'silent',
    9: 'info',
    17: 'error',
  }
  for (const [setting, level] of Object.entries(expected)) assert.equal(parseLevel(setting), level)
  for (const setting of ['', 'loud', '0', '25', 'constructor', '__proto__'])
    assert.equal(parseLevel(setting), undefined)
})

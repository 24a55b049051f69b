import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { runCli } from '../../src/cli/cli.ts'
import { temporaryDirectory } from '../config/support.ts'
import { finished, lineOf, PROGRAMS, sluice, start } from './command.ts'

test('--version says the version of the package', async () => {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { code, out } = await sluice(['--version'])
  assert.equal(code, 0)
  assert.equal(out.trim(), (JSON.parse(manifest) as { readonly version: string }).version)
})

test('--help lists every command, and each command has help of its own with its exit codes', async () => {
  const general = await sluice(['--help'])
  assert.equal(general.code, 0)
  for (const name of ['run', 'config', 'doctor', 'jobs', 'events', 'cron', 'migrate']) {
    assert.match(general.out, new RegExp(`^ {2}${name} `, 'm'))
    const [long, other] = await Promise.all([sluice([name, '--help']), sluice(['help', name])])
    assert.equal(long.code, 0)
    assert.equal(long.out, other.out)
    assert.match(long.out, new RegExp(`^Usage: sluice ${name} `))
    assert.match(long.out, /^ {2}78 +the configuration is wrong/m)
  }
})

const MISUNDERSTOOD: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /^sluice: no command given\nTry: sluice --help/],
  [['confg'], /^sluice: unknown command "confg"; did you mean config\?/],
  [['docter'], /did you mean doctor\?/],
  [['xyzzy'], /^sluice: unknown command "xyzzy"\n/],
  [['help', 'rn'], /did you mean run\?/],
  [['config', '--jsn'], /^sluice: unknown option "--jsn"; did you mean --json\?\nTry: sluice config --help/],
  [['config', '--verbose'], /there are --help, --config, --changed, --json/],
  [['config', '--json=yes'], /--json takes no value/],
  [['config', '--config'], /--config needs a path/],
  [['config', 'hello.ts', 'other.ts'], /one file at most, got "other\.ts" too/],
  [['run'], /^sluice: no file given/],
  [['run', '--json', 'hello.ts'], /unknown option "--json"/],
  [['run', 'absent.ts'], /^sluice: there is no file .*absent\.ts/],
  [['doctor', '.'], /there is no file/],
]

for (const [args, says] of MISUNDERSTOOD) {
  test(`a command that is not understood ends with 64 and says what would be: sluice ${args.join(' ')}`, async () => {
    const lines = { out: [] as string[], err: [] as string[] }
    const code = await runCli(args, {
      out: (line) => void lines.out.push(line),
      err: (line) => void lines.err.push(line),
      env: {},
      cwd: PROGRAMS,
    })
    assert.equal(code, 64)
    assert.deepEqual(lines.out, [])
    assert.match(lines.err.join('\n'), says)
  })
}

test('a command that is not understood ends its process with 64, and says so on standard error', async () => {
  const { code, out, err } = await sluice(['confg'])
  assert.equal(code, 64)
  assert.equal(out, '')
  assert.equal(err, 'sluice: unknown command "confg"; did you mean config?\nTry: sluice --help\n')
})

test('on a Node.js that is too old, the command says which one it needs and how to get it', async () => {
  const pretend = `data:text/javascript,Object.defineProperty(process.versions,"node",{value:"20.19.0"})`
  const { code, err, out } = await sluice(['--version'], { node: [`--import=${pretend}`] })
  assert.equal(code, 71)
  assert.equal(out, '')
  assert.match(err, /^sluice needs Node\.js 24 or later, and this is 20\.19\.0 /)
  assert.match(err, /npm install node@24/)
})

const old = olderNode()

test('an old Node.js can read the entry, and says the same', { skip: old.skip }, async () => {
  await using directory = await temporaryDirectory()
  // The entry has no types to take off, so it is the same as what is published.
  const path = join(directory.path, 'main.mjs')
  await copyFile(new URL('../../src/cli/main.ts', import.meta.url), path)
  const { status, stderr } = spawnSync(old.path, [path], { encoding: 'utf8', timeout: 10_000 })
  assert.equal(status, 71)
  assert.match(stderr, /^sluice needs Node\.js 24 or later, and this is (?:[0-9]|1[0-9]|2[0-3])\./)
})

test('run hands the rest of the arguments to the program, and a signal stops its app cleanly', async () => {
  const child = start(['run', 'hello.ts', '--name', 'you'])
  const done = finished(child)
  const url = await lineOf(child.stdout, /^started (\S+)/m)
  const response = await fetch(url)
  assert.deepEqual(await response.json(), { hello: ['--name', 'you'] })
  child.kill('SIGTERM')
  const { code, err } = await done
  assert.equal(code, 0, err)
})

for (const [program, way] of [
  ['runs.ts', 'ends in `await app.run()`'],
  ['hello.ts', 'ends in `await app.start()`'],
  ['exported.ts', 'only exports its app'],
] as const) {
  test(`SIGTERM ends \`sluice run\` with 0 on a program that ${way}`, async () => {
    const child = start(['run', program], { env: { POSTGRES_ENABLED: 'false' } })
    const done = finished(child)
    await lineOf(child.stdout, /(listens on)/)
    child.kill('SIGTERM')
    const { code, err } = await done
    assert.deepEqual({ code, err }, { code: 0, err: '' })
  })
}

test('run ends with 0 on a script that stops its app by itself', async () => {
  const { code, out, err } = await sluice(['run', 'stops.ts'])
  assert.deepEqual({ code, err }, { code: 0, err: '' })
  assert.match(out, /^worked at http/m)
})

test('run says of a program that makes no app that it must, and ends with 1', async () => {
  const { code, out, err } = await sluice(['run', 'no-app.ts'])
  assert.deepEqual({ code, out }, { code: 1, out: '' })
  assert.match(err, /no-app\.ts made no app before it ended; it must call createApp/)
})

test('run lets a program be that makes and starts its app after the import', async () => {
  const child = start(['run', 'late.ts'])
  const done = finished(child)
  await lineOf(child.stdout, /(listens on)/)
  child.kill('SIGTERM')
  assert.equal((await done).signal, 'SIGTERM')
})

test('run starts an app that the program only exports', async () => {
  const child = start(['run', 'exported.ts'], { env: { POSTGRES_ENABLED: 'false' } })
  const done = finished(child)
  await lineOf(child.stdout, /(listens on)/)
  child.kill('SIGINT')
  assert.equal((await done).code, 0)
})

test('a wrong configuration ends run with 78 before anything connects, with every fault named', async () => {
  const { code, err } = await sluice(['run', 'hello.ts'], {
    env: { APP_PORT: 'abc', REDIS_ADDR: 'http://:canary@h', REDIS_DB: 'x' },
  })
  assert.equal(code, 78)
  assert.match(err, /SLUICE_CONFIG: the configuration has 3 faults:/)
  for (const name of ['APP_PORT', 'REDIS_ADDR', 'REDIS_DB']) assert.match(err, new RegExp(`- env ${name} `))
  assert.doesNotMatch(err, /canary/)
})

test('a port that is taken ends run with 71', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const { code, err } = await sluice(['run', 'hello.ts'], { env: { APP_PORT: String(address.port) } })
  server.close()
  assert.equal(code, 71, err)
  assert.match(err, /SLUICE_LISTEN: /)
})

test('a program that throws ends every command with 1 and shows where', async () => {
  for (const command of ['run', 'config', 'doctor']) {
    const { code, err } = await sluice([command, 'throws.ts'])
    assert.equal(code, 1)
    assert.match(err, /the program is broken\n +at .*throws\.ts:1/)
  }
})

test('a package that is not installed is named with the command that installs it', async () => {
  const { code, err } = await sluice(['run', 'missing-package.ts'])
  assert.equal(code, 1)
  assert.match(err, /npm install a-package-that-is-not-there/)
})

test('config shows each value with its source, without secrets, and connects to nothing', async () => {
  await using directory = await temporaryDirectory()
  await writeFile(join(directory.path, 'sluice.yaml'), 'redis:\n  pool_size: 3\n')
  const { code, out, err } = await sluice(['config', join(PROGRAMS, 'exported.ts')], {
    cwd: directory.path,
    env: {
      POSTGRES_DSN: 'postgres://u:canary@10.255.255.1:5/d',
      REDIS_PASSWORD: 'canary',
      BILLING_API_KEY: 'canary',
      REDIS_ADRR: 'x',
    },
  })
  assert.equal(code, 0, err)
  assert.match(out, /^# file: sluice\.yaml$/m)
  assert.match(out, /^db\.dsn +postgres:\/\/\*\*\*@10\.255\.255\.1:5\/d +env POSTGRES_DSN$/m)
  assert.match(out, /^cache\.password +\*\*\* +env REDIS_PASSWORD$/m)
  assert.match(out, /^cache\.dial_timeout +2s +code$/m)
  assert.match(out, /^cache\.pool_size +3 +sluice\.yaml:2$/m)
  assert.match(out, /^billing\.apiKey +\*\*\* +env BILLING_API_KEY$/m)
  assert.match(err, /warning: env REDIS_ADRR is not known; did you mean REDIS_ADDR\?/)
  assert.doesNotMatch(out + err, /canary/)
  assert.doesNotMatch(out, /noise/)
})

test('config --json is JSON alone, with values, sources, warnings and problems', async () => {
  const { code, out } = await sluice(['config', 'exported.ts', '--json'], {
    env: { REDIS_DB: 'x', REDIS_PASSWORD: 'canary' },
  })
  assert.equal(code, 78)
  const report = JSON.parse(out) as {
    readonly app: string
    readonly values: readonly {
      readonly path: string
      readonly value: string | null
      readonly source: string
    }[]
    readonly problems: readonly object[]
  }
  assert.equal(report.app, 'exported')
  assert.deepEqual(
    report.values.find((each) => each.path === 'cache.password'),
    { path: 'cache.password', value: '***', source: 'env REDIS_PASSWORD' },
  )
  assert.deepEqual(
    report.values.find((each) => each.path === 'db.dsn'),
    { path: 'db.dsn', value: null, source: 'default' },
  )
  assert.deepEqual(report.problems, [
    { path: 'cache.db', source: 'env REDIS_DB', expected: 'integer, 0 to 65535', got: '"x"' },
  ])
  assert.doesNotMatch(out, /canary/)
})

test('config --changed leaves out defaults, and shows the name that createApp was given', async () => {
  const env = { REDIS_DB: '3' }
  const { code, out } = await sluice(['config', 'exported.ts', '--changed'], { env })
  assert.equal(code, 0)
  const lines = out.trim().split('\n').slice(1)
  assert.ok(
    lines.some((line) => /^app\.name +exported +code$/.test(line)),
    out,
  )
  assert.ok(
    lines.some((line) => /^cache\.db +3 +env REDIS_DB$/.test(line)),
    out,
  )
  assert.deepEqual(
    lines.filter((line) => line.endsWith(' default')),
    [],
  )
  const named = await sluice(['config', 'exported.ts'], { env: { OTEL_SERVICE_NAME: 'other' } })
  assert.match(named.out, /^app\.name +other +env OTEL_SERVICE_NAME$/m)
})

test('config without a program shows every component that there is, from a named file', async () => {
  await using directory = await temporaryDirectory()
  await writeFile(
    join(directory.path, 'prod.yaml'),
    'redis: { addr: cache:6379 }\nservices: { any: false }\n',
  )
  const { code, out } = await sluice(['config', '--config', 'prod.yaml'], { cwd: directory.path })
  assert.equal(code, 0)
  assert.match(out, /^redis\.addr +cache:6379 +prod\.yaml:1$/m)
  assert.match(out, /^postgres\.dsn +- +default$/m)
})

test(
  'a program that makes its app late is looked at, and one that makes none is told so',
  { timeout: 40_000 },
  async () => {
    const late = await sluice(['config', 'late.ts', '--json'])
    assert.equal((JSON.parse(late.out) as { readonly app: string }).app, 'late')
    const none = await sluice(['config', 'no-app.ts'])
    assert.equal(none.code, 1)
    assert.match(none.err, /no-app\.ts made no app before it ended; it must call createApp/)
  },
)

/** A Node.js older than 24 on the path, where there is one. */
function olderNode(): Readonly<{ readonly path: string; readonly skip: string | false }> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, 'node')
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 10_000 })
    const major = Number(/^v(\d+)\./.exec(stdout ?? '')?.[1])
    if (major >= 14 && major < 24) return { path, skip: false }
  }
  return { path: '', skip: 'no Node.js older than 24 is on the path' }
}

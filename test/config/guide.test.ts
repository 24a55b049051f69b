import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { configError } from '../../src/config/problem.ts'
import { finished, lineOf, sluice, start } from '../cli/command.ts'
import { read } from './support.ts'

const guide = await readFile(new URL('../../docs/guides/configuration.md', import.meta.url), 'utf8')

/** The first code block of a language, or of none. */
function block(language: string): string {
  const match = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(guide)
  assert.ok(match?.[1] !== undefined, `no block of ${language}`)
  return match[1]
}

test('the program and the file of the guide work together', async () => {
  // Inside the package, so that the program finds it under its name.
  const directory = await mkdtemp(join(import.meta.dirname, 'guide-'))
  try {
    await writeFile(join(directory, 'app.ts'), block('ts'))
    await writeFile(join(directory, 'sluice.yaml'), block('yaml'))
    const { code, out, err } = await sluice(['config', 'app.ts'], {
      cwd: directory,
      env: { BILLING_API_KEY: 'key' },
    })
    assert.equal(code, 0, err)
    assert.match(out, /^sessions\.db +3 +sluice\.yaml:\d+$/m)
    assert.match(
      out,
      /^db\.multi_config\.reports\.dsn +postgres:\/\/reports\.internal\/reports +sluice\.yaml:\d+$/m,
    )
    assert.match(out, /^infrastructure\.cache\.workers +20 +sluice\.yaml:\d+$/m)
    assert.match(out, /^services\.export +false +sluice\.yaml:\d+$/m)
    assert.match(out, /^billing\.rate +5 +sluice\.yaml:\d+$/m)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('the program of the guide runs as it is printed, and ends with 78 where something is wrong', async () => {
  const directory = await mkdtemp(join(import.meta.dirname, 'guide-'))
  try {
    await writeFile(join(directory, 'app.ts'), block('ts'))
    await writeFile(join(directory, 'sluice.yaml'), block('yaml'))
    const cwd = directory
    const child = start(['run', 'app.ts'], {
      cwd,
      env: { BILLING_API_KEY: 'key', POSTGRES_ENABLED: 'false' },
    })
    const done = finished(child)
    const url = await lineOf(child.stdout, /listens on (http:\/\/[^"\s]+)/)
    assert.deepEqual(await (await fetch(`${url}/rate`)).json(), { rate: 5 })
    child.kill('SIGTERM')
    assert.equal((await done).code, 0)
    const wrong = await sluice(['run', 'app.ts'], { cwd })
    assert.equal(wrong.code, 78)
    assert.match(
      wrong.err,
      /^shop: the configuration has 1 fault:\n {2}- not set \(billing\.apiKey\): .*; set BILLING_API_KEY, or /,
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('the faults of the guide are told in the words of the guide', async () => {
  const { problems } = await read({
    env: { APP_PORT: 'abc', REDIS_DIAL_TIMEOUT: 'soon' },
    yaml: '#\n#\n#\n#\n#\nredis:\n  adrr: cache\n',
    code: { db: { minConns: 9, maxOpenConns: 4 } },
  })
  const { message } = configError(problems)
  assert.ok(guide.includes(`\nshop: ${message}\n`), message)
})

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { API_PAGES, renderApi } from '../../scripts/api/pages.ts'
import { REFERENCE, renderReference } from '../../scripts/reference.ts'

test('the reference of the configuration is what the sections of the code say', async () => {
  const written = await readFile(REFERENCE, 'utf8')
  assert.equal(written, await renderReference(), 'run: npm run reference')
})

/** Of both tests: the compiler reads all of the sources for it. */
const rendered = renderApi()

test('the reference of the calls is what their doc comments say', async () => {
  const pages = await rendered
  assert.deepEqual((await readdir(API_PAGES)).toSorted(), [...pages.keys()].toSorted())
  for (const [file, text] of pages) {
    assert.equal(await readFile(join(API_PAGES, file), 'utf8'), text, `${file}: run: npm run reference`)
  }
})

test('the reference of the calls has overloads, members, defaults and errors', async () => {
  const pages = await rendered
  const jobs = pages.get('jobs.md') ?? ''
  assert.match(
    jobs,
    /^\*\*`handle`\*\*\n\n```ts ignore\nhandle<Input, Output>\([^`]*handler: BatchHandler<Output>[^`]*task: URL/m,
  )
  assert.match(jobs, /^\| `timeout` \| `Duration` \| '5m' \| Limit of one attempt, 1 ms to 24 days\. \|$/m)
  assert.match(
    jobs,
    /\[SLUICE_CONFLICT\]\(\.\.\/\.\.\/errors\.md#sluice_conflict\) where an open\ntransaction/,
  )
  assert.match(jobs, /^### Job \(interface\)$/m)
  assert.match(jobs, /^- \*\*At least once\.\*\* A job that `enqueue` acknowledged/m)
  // Nothing that is private to a class.
  assert.doesNotMatch([...pages.values()].join('\n'), /\| `#/)
})

import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { readConfig } from '../../src/config/load.ts'
import { describeProblem, type Problem } from '../../src/config/problem.ts'
import type { YamlNode } from '../../src/config/yaml-convert.ts'
import { parseYaml } from '../../src/config/yaml-tree.ts'
import { MAX_FILE_BYTES } from '../../src/config/yaml-file.ts'
import { read, shown, temporaryDirectory } from './support.ts'
import { cpuMs } from '../support/cpu-time.ts'

/** What is wrong with a text; fails when nothing is. */
async function faultsOf(text: string): Promise<string> {
  const parsed = await parseYaml(text, 'sluice.yaml')
  assert.ok(!('children' in parsed), 'it was accepted')
  return parsed.map(describeProblem).join('\n')
}

async function treeOf(text: string): Promise<YamlNode> {
  const parsed = await parseYaml(text, 'sluice.yaml')
  assert.ok('children' in parsed, 'children' in parsed ? '' : parsed.map(describeProblem).join('\n'))
  return parsed
}

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  [
    'a tab for indentation',
    'redis:\n\taddr: x\n',
    /^sluice\.yaml:2:1: expected spaces for indentation, not a tab/,
  ],
  [
    'a key twice',
    'redis: {}\napp: {}\nredis: {}\n',
    /^sluice\.yaml:3:1: expected each key once in a mapping$/,
  ],
  ['a key twice below', 'redis:\n  addr: a\n  addr: b\n', /^sluice\.yaml:3:3: expected each key once/],
  ['a tag of a library', 'a: !!js/function "function () {}"\n', /^sluice\.yaml:1:4: expected no tag/],
  ['a tag of its own', 'a: !secret x\n', /expected no tag/],
  ['bytes', 'a: !!binary aGk=\n', /expected no tag/],
  ['a tag behind a verbatim', 'a: !<tag:yaml.org,2002:python/object> x\n', /expected no tag/],
  ['an older version', '%YAML 1.1\n---\nenabled: no\n', /^sluice\.yaml:1:1: expected no directive/],
  ['a tag directive', '%TAG ! tag:example.com,2000:\n---\na: 1\n', /expected no directive/],
  ['two documents', 'a: 1\n---\nb: 2\n', /expected one document/],
  ['a merge key', 'a: &a { b: 1 }\nc:\n  <<: *a\n', /^sluice\.yaml:3:3: expected no merge key/],
  [
    'a way to a prototype',
    '__proto__: { admin: true }\n',
    /^sluice\.yaml:1:1: expected another name than __proto__$/,
  ],
  [
    'a way to a prototype below',
    'redis:\n  constructor: { prototype: 1 }\n',
    /^sluice\.yaml:2:3: .*constructor$/,
  ],
  ['an alias of nothing', 'a: *b\n', /expected an alias .* of an anchor/],
  ['an alias of what holds it', 'a: &a [1, *a]\n', /expected/],
  ['a list as key', '[a, b]: 1\n', /expected a text as key/],
  ['a text at the top', 'hello\n', /expected a mapping such as "redis:" at the top$/],
  ['a list at the top', '- a\n- b\n', /at the top$/],
  [
    'a quote that is not closed',
    'redis:\n  password: "canary\napp:\n  port: 1\n',
    /^sluice\.yaml:2:13: expected a closing " for the " at this place$/,
  ],
  [
    'an apostrophe that is not closed',
    "a: 'it''s'\nb: 'canary''\nc: 1\n",
    /^sluice\.yaml:2:4: expected a closing ' for the ' at this place$/,
  ],
  [
    'a bracket that is not closed',
    'redis:\n  pool_size: [1\n',
    /^sluice\.yaml:2:14: expected a closing \] for the \[ at this place$/,
  ],
  [
    'a bracket that is not closed before other sections',
    'redis:\n  a: [1]\n  pool_size: [1\n  db: 2\napp:\n  port: 1\n',
    /^sluice\.yaml:3:14: expected a closing \] for the \[ at this place$/,
  ],
  [
    'a brace that is not closed inside a bracket',
    'a: [1, {b: 2]\n',
    /^sluice\.yaml:1:8: expected a closing \} for the \{ at this place$/,
  ],
  [
    'a fault before a bracket that is not closed',
    'a: 1\na: 2\nb: [1\n',
    /^sluice\.yaml:2:1: expected each key once in a mapping\nsluice\.yaml:3:4: expected a closing \]/,
  ],
  ['a stray bracket', 'a: 1]\nb: ]\n', /expected/],
  ['an escape that is none', 'a: "\\q"\n', /expected a valid escape sequence/],
  ['a text that begins with @', 'a: @canary\n', /expected quotes around a text/],
  ['two mappings on a line', 'a: b: canary\n', /expected one key on a line/],
  ['uneven indentation', 'a:\n    b: 1\n  c: 2\n', /expected/],
  ['deep lists', '['.repeat(5_000), /expected at most 32 levels$/],
  ['deep mappings', '{a: '.repeat(5_000), /expected at most 32 levels$/],
  ['deep dashes', '- '.repeat(5_000), /expected at most 32 levels$/],
  ['deep question marks', '? '.repeat(5_000), /expected at most 32 levels$/],
  [
    'deep indentation',
    Array.from({ length: 60 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
    /at most 32 levels$/,
  ],
  [
    'thousands of keys',
    Array.from({ length: 10_000 }, (_, key) => `k${key}: 1`).join('\n'),
    /more than 12000 tokens$/,
  ],
  ['thousands of tags', 'a: !!str '.repeat(3_000), /expected/],
  ['thousands of brackets', ']'.repeat(60_000), /expected/],
  ['thousands of directives', '%a\n'.repeat(60_000), /expected no directive/],
  ['thousands of anchors', '&a '.repeat(15_000), /expected/],
  [
    'a bomb of aliases',
    `${Array.from({ length: 9 }, (_, level) => `a${level}: &a${level} [${level === 0 ? '1' : Array.from({ length: 9 }, () => `*a${level - 1}`).join(', ')}]`).join('\n')}\n`,
    /expected at most 10000 values, aliases followed$/,
  ],
]

for (const [what, text, says] of REFUSED) {
  test(`a file with ${what} is refused, with its place and without quoting it`, async () => {
    await parseYaml('a: 1', 'warm-up')
    const start = cpuMs()
    const faults = await faultsOf(text)
    // The bound is 100 ms on a quiet machine; tests share theirs.
    assert.ok(cpuMs() - start < 1_000, `${cpuMs() - start} ms`)
    assert.match(faults, says)
    assert.doesNotMatch(faults, /canary/)
  })
}

test('no and NO are texts, as a country is, and true is a boolean', async () => {
  const { value } = await treeOf(
    'a: no\nb: NO\nc: true\nd: "1"\ne: 1\nf: 0o17\ng: ~\nh: 2026-01-01\ni: 1_000\n',
  )
  assert.deepEqual(
    { ...(value as object) },
    {
      a: 'no',
      b: 'NO',
      c: true,
      d: '1',
      e: 1,
      f: 15,
      g: null,
      h: '2026-01-01',
      i: '1_000',
    },
  )
})

test('a byte order mark, Windows line ends, comments and an empty file do no harm', async () => {
  assert.equal(
    shown(await read({ yaml: '\uFEFFapp:\r\n  port: 81 # web\r\n' }), 'app.port'),
    '81 from sluice.yaml:2',
  )
  assert.deepEqual((await read({ yaml: '' })).problems, [])
  assert.deepEqual((await read({ yaml: '# nothing\n' })).problems, [])
  assert.deepEqual((await read({ yaml: '---\n' })).problems, [])
  assert.deepEqual((await read({ yaml: 'redis:\napp: ~\n' })).problems, [])
})

test('an anchor may be used again, and the value has the line where it is written', async () => {
  const config = await read({ yaml: 'cache: &limits\n  db: 3\nsessions: *limits\n' })
  assert.deepEqual(config.problems, [])
  assert.equal(shown(config, 'sessions.db'), '3 from sluice.yaml:2')
})

test('a file of 100 MB is refused by its size, without being read', async () => {
  await using directory = await temporaryDirectory()
  const path = join(directory.path, 'sluice.yaml')
  const file = await open(path, 'w')
  await file.truncate(100 * 1024 * 1024)
  await file.close()
  const start = cpuMs()
  const { problems } = await readConfig({ cwd: directory.path, env: {} })
  assert.ok(cpuMs() - start < 500)
  assert.match(describeProblem(problems[0]!), /^sluice\.yaml: expected at most 256 KiB; it has 102400 KiB$/)
})

test('a file of the greatest size is read within a bounded time', async () => {
  const line = `# ${'x'.repeat(97)}\n`
  const text = `app:\n  port: 99\n${line.repeat(2_600)}`
  assert.ok(text.length <= MAX_FILE_BYTES)
  const start = cpuMs()
  assert.equal(shown(await read({ yaml: text }), 'app.port'), '99 from sluice.yaml:2')
  assert.ok(cpuMs() - start < 2_000)
})

test('the prototype of objects stays as it is, whatever a file holds', async () => {
  for (const key of [
    '__proto__',
    'constructor',
    'prototype',
    '"__proto__"',
    '"\\x5f_proto__"',
    '? __proto__\n',
  ]) {
    await parseYaml(`redis: { ${key}: { polluted: 1 } }`, 'x')
    await parseYaml(`${key}: { polluted: 1 }`, 'x')
  }
  assert.equal(({} as { readonly polluted?: unknown }).polluted, undefined)
  assert.deepEqual(Object.keys(Object.prototype), [])
})

const SEED = Number(process.env['SLUICE_FUZZ_SEED'] ?? 20_260_101)
const RUNS = Number(process.env['SLUICE_FUZZ_RUNS'] ?? 10_000)
/** Tests that share the texts, so that none of them needs the time of all. */
const FUZZ_PARTS = 10
/** Of those that make a whole configuration, which takes some ten times as long as a text. */
const CONFIGURATION_RUNS = process.env['SLUICE_FUZZ_RUNS'] === undefined ? 300 : Math.ceil(RUNS / 5)

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'expected' in value && 'source' in value

const piece = fc.constantFrom(
  'redis',
  'app',
  ':',
  ': ',
  '\n',
  '  ',
  '\t',
  '- ',
  '? ',
  '[',
  ']',
  '{',
  '}',
  ',',
  '"',
  "'",
  '|',
  '>',
  '&a ',
  '*a ',
  '!!str ',
  '!x ',
  '#',
  '%YAML 1.1\n',
  '---\n',
  '...\n',
  '<<: ',
  '\\',
  '\0',
  '\uFEFF',
  '\u2028',
  '1',
  'no',
  '~',
  '@',
  '`',
  '\r',
  'é',
  '\uD800',
)
/** Random characters, and pieces of YAML in random order. */
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
)

for (let part = 1; part <= FUZZ_PARTS; part++) {
  test(`any text gives a tree or problems, never an exception, in bounded time: part ${part} of ${FUZZ_PARTS}`, async () => {
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const start = cpuMs()
        const parsed = await parseYaml(text, 'f')
        assert.ok(cpuMs() - start < 2_000)
        if ('children' in parsed) assert.ok(typeof parsed.value === 'object' && parsed.value !== null)
        else assert.ok(parsed.length > 0 && parsed.every(isProblem))
      }),
      { numRuns: Math.ceil(RUNS / FUZZ_PARTS), seed: SEED + part },
    )
  })
}

test('whatever a well-formed file holds, its configuration is values or problems, never an exception', async () => {
  const key = fc.constantFrom(
    'redis',
    'app',
    'services',
    'infrastructure',
    'timeouts',
    'workers',
    'port',
    'db',
    'todos',
    'addr',
    'zz',
  )
  const { tree } = fc.letrec((tie) => ({
    leaf: fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.string(), fc.constant(null)),
    tree: fc.oneof(
      { maxDepth: 4 },
      tie('leaf'),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
    ),
  }))
  const { stringify } = await import('yaml')
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, tree, { maxKeys: 4, noNullPrototype: true }), async (value) => {
      const config = await read({ yaml: stringify(value) })
      assert.ok(config.entries.length > 0)
      for (const problem of config.problems) assert.ok(!describeProblem(problem).includes('\n'))
    }),
    { numRuns: CONFIGURATION_RUNS, seed: SEED },
  )
})

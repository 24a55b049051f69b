import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { ERROR_CODES } from '../src/core/errors.ts'
import { anchors, codeBlocks, links, markdownFiles } from './support/markdown.ts'
import { ROOT } from './support/module-graph.ts'

test('docs/errors.md has each code with its meaning and what to do, in the order of the table', () => {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8')
  const sections = page.split(/^### /m).slice(1)
  const documented = sections.map((section) => {
    const [code = '', , meaning = '', , advice = ''] = section.split('\n')
    assert.ok(advice.length > 20, `${code}: say what to do`)
    return [code, meaning]
  })
  assert.deepEqual(documented, Object.entries(ERROR_CODES))
})

test('every TypeScript block of the documentation type-checks', () => {
  const blocks = markdownFiles()
    .filter((file) => file === 'README.md' || file.startsWith('docs/') || file.startsWith('examples/'))
    .flatMap((file) => codeBlocks(file))
    .filter(({ info }) => info === 'ts')
  assert.ok(blocks.length > 0)
  // Inside the tree, so that `import 'sluice'` finds this package and the others theirs.
  const scratch = join(ROOT, '.sluice')
  mkdirSync(scratch, { recursive: true })
  const directory = mkdtempSync(join(scratch, 'docs-test-'))
  try {
    for (const { file, line, code } of blocks) {
      // Each a module of its own, also without an import; named after its place, which the errors then tell.
      const name = `${file.replaceAll(/[/.]/g, '-')}-line-${line}.ts`
      writeFileSync(join(directory, name), `${code}\nexport {}\n`)
    }
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ['*.ts'],
    }
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', directory], { encoding: 'utf8' })
    assert.equal(status, 0, stdout)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('every block says what it is: code that is not checked says so', () => {
  const known = /^(ts|ts ignore|sh|yaml|json|sql|text|http|dockerfile|diff|js|toml|lua|ini|html|css)?$/
  const odd = markdownFiles()
    .flatMap((file) => codeBlocks(file))
    .filter(({ info }) => !known.test(info))
    .map(({ file, line, info }) => `${file}:${line} is "${info}"`)
  assert.deepEqual(odd, [])
})

test('every relative link leads to a file, and to a heading where it names one', () => {
  const broken: string[] = []
  for (const { file, line, target } of markdownFiles().flatMap((each) => links(each))) {
    if (/^[a-z]+:/.test(target)) continue
    const [path = '', anchor] = target.split('#')
    const file2 = path === '' ? file : join(dirname(file), path)
    if (!existsSync(join(ROOT, file2))) broken.push(`${file}:${line} leads to ${target}`)
    else if (anchor !== undefined && file2.endsWith('.md') && !anchors(file2).has(anchor))
      broken.push(`${file}:${line}: no heading ${target}`)
  }
  assert.deepEqual(broken, [])
})

test('each promise of the guarantees is held by a test of the name that it gives, in the file that it leads to', () => {
  const page = 'docs/reference/guarantees.md'
  const rows = readFileSync(join(ROOT, page), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| promise |'))
  assert.ok(rows.length > 50)
  const wrong = rows.filter((row) => {
    const [, name = '', path = ''] = /\| \[([^\]]+)\]\(([^)]+)\) \|$/.exec(row) ?? []
    const file = join(ROOT, dirname(page), path)
    if (path === '' || !existsSync(file)) return true
    return !path.endsWith(`/${name}`) && !readFileSync(file, 'utf8').includes(name)
  })
  assert.deepEqual(wrong, [])
})

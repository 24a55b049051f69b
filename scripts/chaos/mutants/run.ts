/**
 * Plants the mutants one after the other in a copy of the tree, and shows that what is said to catch each does. Before
 * that every proof passes on the tree as it is: one that fails anyway proves nothing.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunReport } from '../run.ts'
import type { Mutant, Proof } from './mutant.ts'

export interface MutantsOptions {
  readonly mutants: readonly Mutant[]
  readonly seed: number
  /** A server of one's own; without it tests that need one are skipped, and chaos runs have an embedded one. */
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface MutantVerdict {
  readonly mutant: string
  readonly takes: string
  readonly proof: string
  /** What caught it, in the words of that; undefined where nothing did. */
  readonly caught: string | undefined
  readonly seconds: number
}

const ROOT = join(import.meta.dirname, '../../..')
const COPIED = ['src', 'test', 'scripts', 'package.json', 'tsconfig.json']
/** Of one proof. */
const LIMIT_MS = 120_000

/** Rejects where the source no longer has what a mutant replaces, or a proof fails without it. */
export async function runMutants(options: MutantsOptions): Promise<readonly MutantVerdict[]> {
  const { mutants, log } = options
  for (const mutant of mutants) await plant(ROOT, mutant)
  const tree = await mkdtemp(join(tmpdir(), 'sluice-mutants-'))
  try {
    for (const name of COPIED) await cp(join(ROOT, name), join(tree, name), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(tree, 'node_modules'))
    const proofs = new Map(mutants.map(({ proof }) => [nameOf(proof), proof]))
    for (const [name, proof] of proofs) {
      log(`${name}: passes without a mutant?`)
      const found = await prove(tree, proof, options)
      if (found !== undefined) throw new Error(`${name} fails without a mutant: ${found}`)
    }
    const verdicts: MutantVerdict[] = []
    for (const mutant of mutants) {
      const startedAt = Date.now()
      const { file, source, text } = await plant(tree, mutant)
      await writeFile(file, text)
      const caught = await prove(tree, mutant.proof, options)
      await writeFile(file, source)
      const seconds = Math.round((Date.now() - startedAt) / 1_000)
      log(`${mutant.name}: ${caught === undefined ? 'SURVIVED' : 'caught'} (${seconds} s)`)
      verdicts.push({
        mutant: mutant.name,
        takes: mutant.takes,
        proof: nameOf(mutant.proof),
        caught,
        seconds,
      })
    }
    return verdicts
  } finally {
    await rm(tree, { recursive: true, force: true })
  }
}

export interface Planted {
  readonly file: string
  /** As it is. */
  readonly source: string
  /** With the mutant in it. */
  readonly text: string
}

/** Rejects where its text is not there exactly once. */
export async function plant(tree: string, { name, file, find, replace }: Mutant): Promise<Planted> {
  const path = join(tree, file)
  const source = await readFile(path, 'utf8')
  const parts = source.split(find)
  if (parts.length === 2) return { file: path, source, text: parts.join(replace) }
  throw new Error(
    `mutant ${name}: ${file} has its text ${parts.length - 1} times; rewrite it in scripts/chaos/mutants/list.ts`,
  )
}

export function nameOf(proof: Proof): string {
  return 'chaos' in proof ? `chaos ${proof.chaos}: ${proof.finds}` : `${proof.test}: ${proof.name}`
}

/** What failed; undefined where nothing did. Rejects where nothing was proved. */
function prove(tree: string, proof: Proof, options: MutantsOptions): Promise<string | undefined> {
  return 'chaos' in proof ? proveByChaos(tree, proof, options) : proveByTest(tree, proof, options)
}

async function proveByChaos(
  tree: string,
  { chaos, finds }: Extract<Proof, { chaos: string }>,
  { seed, dsn }: MutantsOptions,
): Promise<string | undefined> {
  const file = join(tree, 'report.json')
  await rm(file, { force: true })
  const { output } = await run(tree, [
    'scripts/chaos/main.ts',
    chaos,
    `--seed=${seed}`,
    '--kills=10',
    '--freezes=0',
    '--stops=1',
    '--drain=15',
    `--json=${file}`,
    ...(dsn === undefined ? [] : [`--dsn=${dsn}`]),
  ])
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) throw new Error(`the run of ${chaos} wrote no report:\n${output}`)
  const found = (JSON.parse(text) as RunReport)[finds]
  return found.length === 0 ? undefined : `${found.length} ${finds}, such as ${found[0]}`
}

async function proveByTest(
  tree: string,
  { test, name }: Extract<Proof, { test: string }>,
  { dsn }: MutantsOptions,
): Promise<string | undefined> {
  const pattern = name.replaceAll(/[^\w\s,]/g, '.')
  const { output, code } = await run(
    tree,
    [
      '--test',
      '--test-reporter=tap',
      '--test-force-exit',
      '--test-timeout=30000',
      `--test-name-pattern=${pattern}`,
      test,
    ],
    dsn === undefined ? {} : { SLUICE_TEST_POSTGRES_URL: dsn },
  )
  const count = (kind: string): number => Number(new RegExp(`^# ${kind} (\\d+)`, 'm').exec(output)?.[1] ?? 0)
  const hasFailed = code !== '0' && /^ *not ok /m.test(output)
  if (!hasFailed && (count('pass') === 0 || count('skipped') > 0)) {
    throw new Error(`${test}: ${name}: nothing was run:\n${output}`)
  }
  if (!hasFailed) return undefined
  return /^ +error: (?:\|-\n +)?(.*)$/m.exec(output)?.[1]?.slice(0, 160) ?? 'it failed'
}

/** A process of the tree; ended when it takes too long, which counts as a failure of what it was to prove. */
async function run(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly output: string; readonly code: string }> {
  const child = spawn(process.execPath, ['--conditions=sluice-source', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-50_000)))
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearTimeout(timer)
  return { output, code: String(signal ?? code) }
}

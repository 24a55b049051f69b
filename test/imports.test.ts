import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findCycle, loadedWith, packageOf, readModuleGraph, ROOT } from './support/module-graph.ts'

/** What each layer may import besides itself. `components/*` stands for each component by itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  policy: ['core'],
  pool: ['core'],
  telemetry: ['core', 'policy', 'pool'],
  config: ['core', 'policy', 'pool'],
  app: ['core', 'policy', 'pool', 'telemetry', 'config'],
  'components/*': ['core', 'policy', 'pool', 'telemetry', 'config', 'app'],
  engine: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*'],
  jobs: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*', 'engine'],
  events: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*', 'engine'],
  audit: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*', 'engine'],
  cron: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*', 'engine'],
  replicator: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*'],
  cli: [
    'core',
    'policy',
    'pool',
    'telemetry',
    'config',
    'app',
    'components/*',
    'engine',
    'jobs',
    'events',
    'cron',
    'audit',
    'replicator',
  ],
  testing: ['core', 'policy', 'pool', 'telemetry', 'config', 'app', 'components/*'],
  'index.ts': ['core', 'policy', 'pool', 'telemetry', 'config', 'app'],
}

/** Optional peers, which cost an install and tens to hundreds of milliseconds: only those who use them pay. */
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}
const PEERS = Object.keys(manifest.peerDependencies)

/** Too slow for the way to the open port: zod takes 35 ms, yaml 14, pino 12, the OpenTelemetry API 11. */
const NOT_AT_START = [
  ...PEERS,
  'zod',
  'pino',
  'pino-pretty',
  'yaml',
  '@opentelemetry/api',
  'piscina',
  'croner',
]

const graph = readModuleGraph()

function layerOf(module: string): string {
  const [first = '', second = ''] = module.split('/')
  return first === 'components' ? `components/${second}` : first
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  const rule = from.startsWith('components/') ? 'components/*' : from
  const allowed = ALLOWED[rule] ?? []
  return allowed.includes(to) || (to.startsWith('components/') && allowed.includes('components/*'))
}

test('the graph was read: modules, imports and layers are there', () => {
  assert.ok(graph.size > 50)
  assert.ok(graph.get('app/component.ts')?.some(({ target }) => target === 'core/clock.ts'))
  for (const layer of Object.keys(ALLOWED)) {
    const prefix = layer.replace('*', '')
    assert.ok(
      [...graph.keys()].some((module) => module.startsWith(prefix)),
      `no module in ${layer}`,
    )
  }
})

test('every import follows the layers, which know only those below them', () => {
  const wrong: string[] = []
  for (const [module, imports] of graph) {
    for (const { target, isOurs } of imports) {
      if (isOurs && !mayImport(layerOf(module), layerOf(target))) wrong.push(`${module} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('every module belongs to a layer', () => {
  const strange = [...graph.keys()].filter((module) => {
    const layer = layerOf(module)
    return !(layer in ALLOWED) && !layer.startsWith('components/')
  })
  assert.deepEqual(strange, [])
})

test('nothing imports what is outside of src', () => {
  const outside = [...graph].flatMap(([module, imports]) =>
    imports
      .filter(({ isOurs, target }) => isOurs && !graph.has(target))
      .map(({ target }) => `${module} imports ${target}`),
  )
  assert.deepEqual(outside, [])
})

test('no modules import each other in a circle', () => {
  assert.equal(findCycle(graph)?.join(' -> '), undefined)
})

test('optional peers are imported on first use only', () => {
  const eager = [...graph].flatMap(([module, imports]) =>
    imports
      .filter(({ isOurs, kind, target }) => !isOurs && kind === 'value' && PEERS.includes(packageOf(target)))
      .map(({ target }) => `${module} imports ${target}`),
  )
  assert.deepEqual(eager, [])
})

test('packages that are imported are declared', () => {
  const declared = new Set([...Object.keys(manifest.dependencies), ...PEERS])
  const missing = [...graph].flatMap(([module, imports]) =>
    imports
      .filter(({ isOurs, target }) => !isOurs && !target.startsWith('node:'))
      .filter(({ target, kind }) => kind !== 'type' && !declared.has(packageOf(target)))
      .map(({ target }) => `${module} imports ${target}`),
  )
  assert.deepEqual(missing, [])
})

test('the way to the open port loads no slow package', () => {
  const entries = [
    'index.ts',
    'components/postgres/index.ts',
    'components/redis/index.ts',
    'components/kafka/index.ts',
    'components/rabbitmq/index.ts',
    'components/threads/index.ts',
    'cron/index.ts',
    'audit/index.ts',
    'jobs/index.ts',
    'events/index.ts',
    'replicator/index.ts',
  ]
  for (const entry of entries) {
    for (const [target, way] of loadedWith(graph, entry)) {
      assert.ok(!NOT_AT_START.includes(packageOf(target)), `loaded at start: ${way.join(' -> ')}`)
    }
  }
})

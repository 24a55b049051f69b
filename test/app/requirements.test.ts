import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import type { ComponentBase, ComponentDefinition, Requirement } from '../../src/app/component.ts'
import { resolveRequirements } from '../../src/app/requirements.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { defineSection } from '../../src/config/section.ts'

const section = defineSection({ name: 'none', fields: {} })

function definition(
  kind: string,
  requires: readonly Requirement[] = [],
  onCreate: (required: (kind: string) => ComponentBase | undefined) => void = () => {},
): ComponentDefinition<ComponentBase> {
  return {
    kind,
    section,
    overrides: {},
    dependsOn: [],
    requires,
    workers: 1,
    connectTimeoutMs: 1_000,
    create(context) {
      onCreate((wanted) => context.required(wanted))
      return {
        api: context.base,
        connect: () => Promise.resolve(),
        check: () => Promise.resolve(),
        close: () => Promise.resolve(),
        inspect: () => ({}),
      }
    },
  }
}

test('the only component of the kind becomes a dependency and is handed over when the other is made', async () => {
  let found: ComponentBase | undefined
  const base = {
    name: 'test',
    logger: silentLogger,
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
    configFile: false,
  }
  await using app = createApp({
    ...base,
    components: {
      queue: definition('queue', [{ kind: 'store' }], (required) => (found = required('store'))),
      db: definition('store'),
    },
  } as Parameters<typeof createApp>[0])
  await app.start()
  assert.equal(found?.name, 'db')
  assert.deepEqual(app.init.status()['queue']?.depends_on, ['db'])
})

test('a component that is required and not there, of another kind or one of several is refused by name', () => {
  const store = definition('store')
  const refused = (components: Parameters<typeof resolveRequirements>[0], message: RegExp) =>
    assert.throws(() => resolveRequirements(components), { code: 'SLUICE_CONFIG', message })
  refused(
    { queue: definition('queue', [{ kind: 'store' }]) },
    /"queue" works on .* kind store, and there is none/,
  )
  refused({ a: store, b: store, queue: definition('queue', [{ kind: 'store' }]) }, /"queue" .* there are 2/)
  refused(
    { a: definition('other'), queue: definition('queue', [{ kind: 'store', name: 'a' }]) },
    /"a" is of kind other/,
  )
})

test('a name decides between several, and an optional one may be missing', () => {
  const store = definition('store')
  const queue = definition('queue', [{ kind: 'store', name: 'b' }])
  assert.deepEqual(resolveRequirements({ a: store, b: store, queue })['queue']?.dependsOn, ['b'])
  const cron = definition('cron', [{ kind: 'store', optional: true }])
  assert.deepEqual(resolveRequirements({ cron })['cron']?.dependsOn, [])
})

test('a component that is only beside another is handed over and not waited for, and several are none', async () => {
  const never = new Promise<void>(() => {})
  let found: ComponentBase | undefined
  const away = {
    ...definition('broker'),
    create: (context: Parameters<ReturnType<typeof definition>['create']>[0]) => ({
      ...definition('broker').create(context),
      connect: () => never,
    }),
  }
  const requires = [{ kind: 'broker', optional: true, beside: true }]
  await using app = createApp({
    name: 'test',
    logger: silentLogger,
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
    configFile: false,
    components: { mq: away, log: definition('log', requires, (required) => (found = required('broker'))) },
  } as Parameters<typeof createApp>[0])
  await app.start()
  while (app.init.status()['log']?.initialized !== true) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(found?.name, 'mq')
  const two = resolveRequirements({
    a: definition('broker'),
    b: definition('broker'),
    log: definition('log', requires),
  })
  assert.deepEqual(two['log']?.dependsOn, [])
})

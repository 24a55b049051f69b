import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inProcess, sluice } from './command.ts'

const CANARY = 'cAnArY'

/** Connection strings where others belong; all of them are accepted. */
const MISPLACED = {
  REDIS_ADDR: `redis://u:${CANARY}@127.0.0.1:1`,
  REDIS_USERNAME: `u:${CANARY}@cache`,
  REDIS_KEY_PREFIX: `redis%3A%2F%2Fu%3A${CANARY}%40cache`,
  OTEL_SERVICE_NAME: `Server=db;Password=${CANARY}`,
  OTEL_SERVICE_VERSION: `postgres://u:${CANARY}`,
}

/** Refused, each by itself. */
const REFUSED = {
  POSTGRES_DSN: [
    `POSTGRES_DSN=postgres://u:${CANARY}@h/x`,
    `Server=h;Password=${CANARY};`,
    `postgres://u:${CANARY}`,
    `postgres://h/x?sslmod=require&password=${CANARY}`,
    `host=h password=${CANARY} hots=x`,
  ],
  APP_HOST: [`postgres://u:${CANARY}@h`, `u:${CANARY}@h`],
  APP_HOSTS: [`postgres://u:${CANARY}@h`, `localhost,redis://u:${CANARY}`],
}

test('no command shows the password of a connection string in the wrong field', async () => {
  for (const args of [['config'], ['config', '--json'], ['doctor'], ['doctor', '--json']]) {
    const { out, err } = await inProcess(args, MISPLACED)
    assert.match(out, args[0] === 'config' ? /cache\b|redis/ : /redis/)
    assert.ok(!(out + err).includes(CANARY), `${args.join(' ')}: ${out}${err}`)
  }
})

test('what is refused is told without its password, by each command, with 78', async () => {
  for (const [name, values] of Object.entries(REFUSED)) {
    for (const value of values) {
      for (const args of [['config'], ['config', '--json'], ['doctor'], ['doctor', '--json']]) {
        const { code, out, err } = await inProcess(args, { [name]: value })
        assert.equal(code, 78, `${name}=${value}`)
        assert.ok(!(out + err).includes(CANARY), `${args.join(' ')}: ${out}${err}`)
      }
    }
  }
})

test('an app that is run with an address as its host ends with 78 and does not show it', async () => {
  const { code, out, err } = await sluice(['run', 'hello.ts'], {
    env: { APP_HOST: `postgres://u:${CANARY}@h` },
  })
  assert.equal(code, 78, out + err)
  assert.match(err, /APP_HOST \(app\.host\): expected a name or an address without port or scheme/)
  assert.ok(!(out + err).includes(CANARY), out + err)
})

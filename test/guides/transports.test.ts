/** The guides on transports say what happens: their programs print what they say, on a database and a virtual host of their own. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ownVhost } from '../components/rabbitmq/support.ts'
import { programsOf, runProgram } from '../support/guide-programs.ts'
import { ownDatabase } from '../support/own-database.ts'
import { serverAt } from '../support/servers.ts'

const server = await serverAt('postgres')
const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { address, vhost, user, password } = own.broker
const here = `amqp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${address}/${vhost}`

for (const guide of ['dead-letters', 'replay']) {
  test(`the program of the guide "${guide}" prints what the guide says`, { skip: server.skip }, async () => {
    const [program, ...others] = programsOf(`docs/guides/${guide}.md`)
    assert.equal(others.length, 0)
    await using database = await ownDatabase(server.url)
    const code = program!.code.replace('postgres()', `postgres({ dsn: ${JSON.stringify(database.dsn)} })`)
    assert.notEqual(code, program!.code)
    assert.deepEqual(await runProgram(code), { output: program!.output, status: 0 })
  })
}

test(
  'the program of the guide on other languages prints what the guide says',
  { skip: own.skip },
  async () => {
    const [program, ...others] = programsOf('docs/guides/other-languages.md')
    assert.equal(others.length, 0)
    const code = program!.code.replaceAll('amqp://guest:guest@127.0.0.1:5672', here)
    assert.notEqual(code, program!.code)
    assert.deepEqual(await runProgram(code), { output: program!.output, status: 0 })
  },
)

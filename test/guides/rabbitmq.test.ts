/** The guide on RabbitMQ says what happens: its programs print what it says, each on a virtual host of this file's own. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ownVhost } from '../components/rabbitmq/support.ts'
import { programsOf, runProgram } from '../support/guide-programs.ts'

const programs = programsOf('docs/guides/rabbitmq.md')
const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { address, vhost, user, password } = own.broker
const here = `amqp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${address}/${vhost}`

test('the guide on RabbitMQ has its programs', () => assert.equal(programs.length, 4))

for (const [index, { code, output }] of programs.entries()) {
  test(
    `program ${index + 1} of the guide on RabbitMQ prints what the guide says`,
    { skip: own.skip },
    async () => {
      const program = code.replace('amqp://guest:guest@127.0.0.1:5672', here)
      assert.notEqual(program, code)
      assert.deepEqual(await runProgram(program), { output, status: 0 })
    },
  )
}

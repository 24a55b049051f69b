import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openComponent } from '../../src/testing/connect-component.ts'
import { fake } from '../app/fake-component.ts'

test('a connection that is lost while connect still answers fails that connect and is recorded', async () => {
  const part = fake('db')
  await using open = await openComponent(part.definition)
  part.connect = () => {
    part.lose(new Error('reset at once'))
    return Promise.resolve()
  }
  await assert.rejects(open.connect(), /reset at once/)
  assert.deepEqual(
    open.losses.map(({ message }) => message),
    ['reset at once'],
  )
  assert.notEqual(open.phase, 'ready')
  part.connect = () => Promise.resolve()
  await open.connect()
  assert.equal(open.phase, 'ready')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Slots, type SlotWaiter } from '../../src/pool/slots.ts'
import { NOT_QUEUED } from '../../src/pool/task-queue.ts'

function waiter(granted: () => void, priority = 5): SlotWaiter {
  return { priority, arrival: NOT_QUEUED, slotGranted: granted }
}

test('slots are taken up to the capacity, then waiters queue up to their limit', () => {
  const slots = new Slots(2, 1)
  assert.deepEqual([slots.tryAcquire(), slots.tryAcquire(), slots.tryAcquire()], [true, true, false])
  assert.equal(slots.wait(waiter(() => {})), true)
  assert.equal(slots.wait(waiter(() => {})), false)
  assert.deepEqual([slots.taken, slots.waiting], [2, 1])
})

test('a slot given back goes to the most urgent waiter, and nobody overtakes the queue', () => {
  const slots = new Slots(1, 10)
  const order: string[] = []
  slots.tryAcquire()
  slots.wait(waiter(() => order.push('later')))
  slots.wait(waiter(() => order.push('urgent'), 0))
  slots.release()
  assert.deepEqual(order, ['urgent'])
  assert.equal(slots.tryAcquire(), false)
  slots.release()
  slots.release()
  assert.deepEqual(order, ['urgent', 'later'])
  assert.deepEqual([slots.taken, slots.waiting], [0, 0])
})

test('a waiter that leaves is not granted a slot', () => {
  const slots = new Slots(1, 10)
  slots.tryAcquire()
  const gone = waiter(() => assert.fail('granted'))
  slots.wait(gone)
  slots.leave(gone)
  slots.leave(gone)
  slots.release()
  assert.deepEqual([slots.taken, slots.waiting], [0, 0])
})

test('a hundred thousand waiters that are done at once do not grow the stack', () => {
  const slots = new Slots(1, 100_000)
  slots.tryAcquire()
  let done = 0
  for (let i = 0; i < 100_000; i += 1) {
    slots.wait(
      waiter(() => {
        done += 1
        slots.release()
      }),
    )
  }
  slots.release()
  assert.equal(done, 100_000)
  assert.equal(slots.taken, 0)
})

test('a waiter that throws costs its caller the error, and the others are granted all the same', () => {
  const slots = new Slots(1, 10)
  slots.tryAcquire()
  slots.wait(
    waiter(() => {
      throw new Error('waiter')
    }),
  )
  let granted = false
  slots.wait(waiter(() => (granted = true)))
  assert.throws(() => slots.release(), /waiter/)
  slots.release()
  assert.equal(granted, true)
})

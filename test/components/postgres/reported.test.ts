import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { DriverClient } from '../../../src/components/postgres/driver.ts'
import { Reported } from '../../../src/components/postgres/reported.ts'

test('a setting that the server reports is changed until it is as it was at first', () => {
  const connection = new EventEmitter()
  const reported = new Reported({ connection } as unknown as DriverClient)
  const tell = (parameterName: string, parameterValue: string): void =>
    void connection.emit('parameterStatus', { parameterName, parameterValue })
  tell('TimeZone', 'UTC')
  tell('DateStyle', 'ISO')
  tell('in_hot_standby', 'on')
  reported.opened()
  assert.equal(reported.isChanged, false)
  tell('TimeZone', 'Asia/Tokyo')
  tell('DateStyle', 'German')
  tell('TimeZone', 'UTC')
  assert.equal(reported.isChanged, true)
  tell('DateStyle', 'ISO')
  assert.equal(reported.isChanged, false)
  // Its promotion is no reason to open connections anew.
  tell('in_hot_standby', 'off')
  assert.equal(reported.isChanged, false)
})

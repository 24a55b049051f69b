import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeAddress, parseAddress, type Address } from '../../../src/components/redis/address.ts'

const GOOD: readonly (readonly [text: string, address: Partial<Address>, shown: string])[] = [
  ['localhost', { host: 'localhost', port: 6379, tls: false }, 'localhost:6379'],
  ['localhost:7000', { host: 'localhost', port: 7000 }, 'localhost:7000'],
  ['10.0.0.1:6379', { host: '10.0.0.1' }, '10.0.0.1:6379'],
  ['[::1]:6380', { host: '::1', port: 6380 }, '[::1]:6380'],
  ['[::1]', { host: '::1', port: 6379 }, '[::1]:6379'],
  ['redis://h', { host: 'h', port: 6379, tls: false }, 'h:6379'],
  ['redis://h:1/5', { port: 1, db: 5 }, 'h:1'],
  ['redis://:p%40ss%3A%2F%23%25@h', { password: 'p@ss:/#%' }, 'h:6379'],
  ['redis://user:pass@h/0', { username: 'user', password: 'pass', db: 0 }, 'h:6379'],
  ['rediss://h', { tls: true }, 'h:6379'],
  ['REDISS://h', { tls: true }, 'h:6379'],
  ['redis://[::1]:7', { host: '::1', port: 7 }, '[::1]:7'],
  ['unix:///run/redis.sock', { path: '/run/redis.sock' }, 'unix:///run/redis.sock'],
]

const BAD = [
  '',
  ':6379',
  'host:',
  'host:0',
  'host:65536',
  'host:port',
  'host:1:2',
  '::1:6379',
  'two words',
  'a:1,b:2',
  'http://host',
  'redis://',
  'redis://host:99999',
  'redis://host/db',
  'redis://host/-1',
  'redis://user:canary%@host',
  'redis://user:can#ary@host:6379x',
  'user:canary@host:6379',
  'unix://relative',
]

for (const [text, expected, shown] of GOOD) {
  test(`the address ${text} is understood`, () => {
    const address = parseAddress(text)
    assert.ok(!('expected' in address), JSON.stringify(address))
    assert.deepEqual({ ...address, ...expected }, address)
    assert.equal(describeAddress(address), shown)
  })
}

for (const text of BAD) {
  test(`the address ${JSON.stringify(text.replace(/can.?ary/, '…'))} is refused, and not repeated`, () => {
    const address = parseAddress(text)
    assert.ok('expected' in address, JSON.stringify(address))
    assert.doesNotMatch(address.expected, /canary|can#ary/)
  })
}

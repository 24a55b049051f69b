/** What the page is sent while it is open, and the page itself. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import type { Notice } from '../routes/notifications.ts'
import { community, must, publish, register, send, type Community } from './support.ts'

leakCheck()

test('notices arrive as they happen: first those that were there, then each new one', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await using stream = await openStream(site, ada)
  await stream.notice('welcome')
  const post = await publish(site, ada, 'Vote!')
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  const vote = await stream.notice('vote')
  assert.deepEqual([vote.actor, vote.postId, vote.read], ['bob', post, false])
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await stream.notice('follow')
  assert.equal(stream.seen.filter(({ kind }) => kind === 'vote').length, 1)
})

test('a stream says that there is something new to read', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await using stream = await openStream(site, bob)
  await stream.notice('welcome')
  const fed = stream.feed()
  await publish(site, ada, 'news')
  await fed
})

test('an open stream does not hold up a stop', async () => {
  await using site = await community()
  const [ada] = (await register(site, 'ada')) as [string]
  await using stream = await openStream(site, ada)
  await stream.notice('welcome')
  assert.equal(await site.stop(), 0)
  await stream.ended
})

test('somebody must be named', async () => {
  await using site = await community()
  assert.equal((await send(site, 'GET', '/live')).statusCode, 400)
})

test('the page and all its parts are served, as what they are, and may run nothing else', async () => {
  await using site = await community()
  const types: Readonly<Record<string, string>> = {
    html: 'text/html',
    css: 'text/css',
    js: 'text/javascript',
  }
  for (const file of readdirSync(join(import.meta.dirname, '../page'))) {
    const reply = await send(site, 'GET', file === 'index.html' ? '/' : `/page/${file}`)
    assert.equal(reply.statusCode, 200, file)
    assert.equal(reply.headers['content-type'], `${types[file.split('.')[1] ?? '']}; charset=utf-8`)
    assert.match(String(reply.headers['content-security-policy']), /^default-src 'none'; script-src 'self'/)
  }
  assert.equal((await send(site, 'GET', '/page/../app.ts')).statusCode, 404)
})

interface Stream extends AsyncDisposable {
  readonly seen: readonly Notice[]
  /** Resolves with the first notice of the kind. */
  notice(kind: string): Promise<Notice>
  /** Resolves at the next hint that there is something to read. */
  feed(): Promise<void>
  readonly ended: Promise<void>
}

async function openStream(site: Community, user: string): Promise<Stream> {
  const reply = await site.fetch(`/live?user=${user}`)
  assert.equal(reply.headers.get('content-type'), 'text/event-stream')
  const seen: Notice[] = []
  const looks = new Set<() => void>()
  let feeds = 0
  const reader = (reply.body ?? new ReadableStream<Uint8Array>()).getReader()
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const messages = `${rest}${decoder.decode(value, { stream: true })}`.split('\n\n')
      rest = messages.pop() ?? ''
      for (const message of messages) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? []
        if (event === 'notices') seen.push(...(JSON.parse(data ?? '[]') as Notice[]))
        if (event === 'feed') feeds++
      }
      for (const look of looks) look()
    }
  }
  const ended = read()
  const until = <T>(found: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const look = (): void => {
        const result = found()
        if (result === undefined) return
        looks.delete(look)
        resolve(result)
      }
      looks.add(look)
      look()
    })
  return {
    seen,
    notice: (kind) => until(() => seen.find((notice) => notice.kind === kind)),
    feed: () => {
      const before = feeds
      return until(() => (feeds > before ? true : undefined)).then(() => {})
    },
    ended,
    async [Symbol.asyncDispose]() {
      await reader.cancel()
      await ended
    },
  }
}

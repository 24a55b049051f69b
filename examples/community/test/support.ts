/** A community on a database of its own, and people who do things in it. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { LightMyRequestResponse } from 'fastify'
import { createTestApp, openTestServer, type TestApp, type TestServer } from 'sluice/testing'
import { components, services } from '../app.ts'
import { Delays } from '../delays.ts'
import { checkAll, isRight } from '../load/check.ts'

export type Community = TestApp<typeof components>

/** The server that the databases of this file are on: started once. */
let server: Promise<TestServer> | undefined
after(async () => (await server)?.close())

/** With a witness, all that is published in it is told to it, in order. `config`: of further components. */
export async function community(witness?: Witness, config: object = {}): Promise<Community> {
  server ??= openTestServer()
  const directory = await mkdtemp(join(tmpdir(), 'sluice-community-'))
  const site = await createTestApp({
    name: 'community',
    components,
    services: [...services(new Delays())],
    databases: await server,
    config: { store: { directory }, ...config },
    // On a machine that thirty others keep busy.
    ready: '55s',
    configure: (app) => {
      if (witness === undefined) return
      app.service('witness', ({ events }) => {
        const see = ({ events: seen }: { readonly events: readonly Seen[] }): void => witness.see(seen)
        events.subscribe('#', 'witness', see, { batch: 100, from: 'beginning' })
      })
    },
  })
  const end = async (): Promise<void> => {
    await site.stop()
    await rm(directory, { recursive: true, force: true })
  }
  return Object.assign(Object.create(site) as Community, { [Symbol.asyncDispose]: end })
}

export interface Seen {
  readonly topic: string
  readonly data: unknown
}

/** Sees what is published, in the order of the log. */
export class Witness {
  readonly seen: Seen[] = []
  #look = (): void => {}

  see(events: readonly Seen[]): void {
    this.seen.push(...events)
    this.#look()
  }

  /** What was published so far: all that comes before somebody who registers now. */
  async all(site: Community): Promise<readonly Seen[]> {
    const [last] = await register(site, `last_${this.seen.length}`)
    await new Promise<void>((resolve) => {
      this.#look = () => {
        if (this.seen.some(({ data }) => (data as { readonly userId?: string }).userId === last)) resolve()
      }
      this.#look()
    })
    return this.seen.filter(
      ({ data }) => !String((data as { readonly name?: string }).name).startsWith('last_'),
    )
  }
}

export function send(
  { app }: Community,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  who?: string,
  payload?: object,
): Promise<LightMyRequestResponse> {
  return app.http.inject({
    method,
    url,
    ...(who !== undefined && { headers: { 'x-user': who } }),
    ...(payload !== undefined && { payload }),
  })
}

/** Sends what must succeed, and answers its body. */
export async function must<T = unknown>(...request: Parameters<typeof send>): Promise<T> {
  const reply = await send(...request)
  assert.ok(reply.statusCode < 300, `${request[1]} ${request[2]}: ${reply.statusCode} ${reply.body}`)
  return (reply.body === '' ? undefined : reply.json()) as T
}

export async function register(site: Community, ...names: readonly string[]): Promise<string[]> {
  const made = names.map((name) => must<{ id: string }>(site, 'POST', '/users', undefined, { name }))
  return (await Promise.all(made)).map(({ id }) => id)
}

export async function publish(
  site: Community,
  who: string,
  body: string,
  more: object = {},
): Promise<string> {
  return (await must<{ id: string }>(site, 'POST', '/posts', who, { body, ...more })).id
}

export async function comment(
  site: Community,
  who: string,
  postId: string,
  body: string,
  parentId?: string,
): Promise<string> {
  const payload = { body, ...(parentId !== undefined && { parentId }) }
  return (await must<{ id: string }>(site, 'POST', `/posts/${postId}/comments`, who, payload)).id
}

/** Resolves when all that follows from what was done is there, as an independent look at the tables says. */
export async function settled(site: Community, only?: RegExp): Promise<void> {
  for (;;) {
    const findings = await checkAll(site.components.db)
    if (isRight(findings.filter(({ name }) => only?.test(name) ?? true))) return
  }
}

/** Asks again until that is the answer. What was cached is forgotten a moment after it has changed. */
export async function eventually<T>(ask: () => Promise<T>, wanted: T): Promise<void> {
  while (!isDeepStrictEqual(await ask(), wanted));
}

/** A list of objects that is asked for page by page, as far as it is read. */
import type { ListedObject, ListPage } from './object.ts'
import type { Page } from './store.ts'

export class Listing implements AsyncIterable<ListedObject> {
  readonly #page: (token: string | undefined) => PromiseLike<Page>

  constructor(page: (token: string | undefined) => PromiseLike<Page>) {
    this.#page = page
  }

  /** One request each; each call begins anew. */
  async *pages(): AsyncGenerator<ListPage, void, undefined> {
    let token: string | undefined
    do {
      const page = await this.#page(token)
      yield { objects: page.objects, prefixes: page.prefixes }
      token = page.token
    } while (token !== undefined)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ListedObject, void, undefined> {
    for await (const { objects } of this.pages()) yield* objects
  }
}

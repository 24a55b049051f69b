/** The page itself: a few plain files, read once. They need nothing, so they are there before the databases are. */
import { readFileSync } from 'node:fs'
import { service, type Http } from 'sluice'

const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript' } as const

const FILES: readonly (readonly [path: string, file: string, type: keyof typeof TYPES])[] = [
  ['/', 'index.html', 'html'],
  ['/page/style.css', 'style.css', 'css'],
  ['/page/main.js', 'main.js', 'js'],
  ['/page/ask.js', 'ask.js', 'js'],
  ['/page/element.js', 'element.js', 'js'],
  ['/page/posts.js', 'posts.js', 'js'],
  ['/page/thread.js', 'thread.js', 'js'],
  ['/page/people.js', 'people.js', 'js'],
  ['/page/compose.js', 'compose.js', 'js'],
  ['/page/notices.js', 'notices.js', 'js'],
]

/** Nothing but these files runs. Pictures come from the store, wherever that is. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: http: https:",
  "connect-src 'self' http: https:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const page = service('page', ({ http }: { readonly http: Http }) => {
  for (const [path, file, type] of FILES) {
    const text = readFileSync(new URL(`../page/${file}`, import.meta.url), 'utf8')
    http.get(path, { schema: { hide: true } as object }, (_request, reply) =>
      reply
        .type(`${TYPES[type]}; charset=utf-8`)
        .headers({
          'content-security-policy': POLICY,
          'x-content-type-options': 'nosniff',
          'referrer-policy': 'same-origin',
          'cache-control': 'no-cache',
        })
        .send(text),
    )
  }
})

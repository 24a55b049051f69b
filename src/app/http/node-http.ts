/**
 * node:http, taken as it is and not by `import`: its ESM face evaluates every export, WebSocket among them, which loads
 * undici and takes 23 ms, a quarter of what a bare Fastify process needs for its whole start.
 */
import type * as Http from 'node:http'

const http: typeof Http = process.getBuiltinModule('node:http')

export const { createServer, ServerResponse, STATUS_CODES } = http

// Fastify alone: what a service with one route starts with.
import { fastify } from 'fastify'

const app = fastify()
app.get('/livez', () => ({ status: 'ok' }))
app.get('/', () => ({ hello: 'world' }))
await app.listen({ port: Number(process.env.PORT ?? 0), host: '127.0.0.1' })
console.log(JSON.stringify({ url: `http://127.0.0.1:${app.server.address().port}` }))

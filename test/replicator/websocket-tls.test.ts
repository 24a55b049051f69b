/** Over TLS the certificate is checked, and messages come as they do without it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:https'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { systemClock } from '../../src/core/clock.ts'
import { webSocketSource } from '../../src/replicator/websocket/source.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { eventually } from '../support/eventually.ts'

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'
const COUNT = 2_000
/** Every second one goes another way through the source. */
const idOf = (seq: number): string => `${seq % 2 === 0 ? 'ü' : 'a'}${seq}`

function openSource(url: string) {
  const ids: string[] = []
  const reasons: string[] = []
  const source = webSocketSource({ url, maxBackoff: 20 })({
    name: 'test',
    appName: 'test',
    clock: systemClock,
    random: () => 0.01,
    log: silentLogger,
    metrics: createMetrics(),
    lanes: [{ name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 }],
  })
  source.open({
    lanes: ['company'],
    position: () => undefined,
    receiver: {
      message: (_lane, _kind, id) => void ids.push(id),
      reached: () => {},
      malformed: (_text, _reason, detail) => void reasons.push(detail),
      live: () => {},
      reload: () => {},
      disconnected: (reason) => void reasons.push(reason),
    },
  })
  return { ids, reasons, [Symbol.asyncDispose]: () => source.close(AbortSignal.timeout(5_000)) }
}

test(
  'over TLS: one whose certificate nobody vouches for is not believed; messages come in order',
  { skip },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-ws-tls-'))
    const known = getCACertificates()
    try {
      const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
      const made = spawnSync(
        'openssl',
        'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
          .split(' ')
          .concat('-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert),
      )
      assert.equal(made.status, 0, String(made.stderr))
      const server = createServer({ key: await readFile(key), cert: await readFile(cert) })
      const sockets = new WebSocketServer({ server })
      sockets.on('connection', (socket) => {
        socket.on('error', () => {})
        socket.on('message', () => {
          socket.send('{"type":"subscribed","entity_type":"company","stream_id":"1-0","resumed":true}')
          for (let seq = 1; seq <= COUNT; seq++)
            socket.send(
              `{"entity_type":"company","message_type":"full","entity_id":"${idOf(seq)}","data":{"n":"ü"},"stream_id":"1-${seq}"}`,
            )
        })
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const url = `wss://localhost:${(server.address() as AddressInfo).port}`
      try {
        {
          await using stranger = openSource(url)
          assert.match(await eventually(async () => stranger.reasons[0]), /self-signed certificate/)
          assert.deepEqual(stranger.ids, [])
        }
        setDefaultCACertificates([...known, await readFile(cert, 'utf8')])
        await using friend = openSource(url)
        await eventually(async () => (friend.ids.length < COUNT ? undefined : true))
        assert.deepEqual(
          friend.ids,
          Array.from({ length: COUNT }, (_, at) => idOf(at + 1)),
        )
        assert.deepEqual(friend.reasons, [])
      } finally {
        sockets.close()
        server.closeAllConnections()
        server.close()
      }
    } finally {
      setDefaultCACertificates(known)
      await rm(dir, { recursive: true, force: true })
    }
  },
)

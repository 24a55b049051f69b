/** Kafka behind a proxy, from the recipe of `npm run services`: its second listener is advertised as the proxy. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { freePort } from '../../../test/components/redis/own-server.ts'
import { bring, cached } from '../../services/artifacts.ts'
import { kafka as recipe } from '../../services/kafka.ts'
import { endProcess } from '../../services/process.ts'
import { end, HOST, launch, prepare, waitUntilUsable, type Running } from '../../services/server.ts'
import type { BrokerServer } from './server.ts'

const KILL_LIMIT_MS = 10_000

export async function missingKafka(): Promise<string | false> {
  if ((await cached(recipe)) !== undefined) return false
  const reason = 'the jars of Kafka are not there; run once: npm run services -- start kafka'
  if (process.env['SLUICE_REQUIRE_SERVERS'] === '1') throw new Error(reason)
  return reason
}

export async function startKafka(log: (text: string) => void): Promise<BrokerServer> {
  const jars = await bring(recipe, log)
  const directory = await mkdtemp(join(tmpdir(), 'sluice-chaos-kafka-'))
  const [port, controller, behind] = [await freePort(), await freePort(), await freePort()]
  const proxy = await startFaultProxy({ target: { host: HOST, port: behind } })
  const placement = {
    host: HOST,
    ports: { port, controller, behind, proxy: proxy.port },
    directory,
    jars,
    heapMb: recipe.heapMb,
    quick: true,
    settings: {},
  }
  let running: Running | undefined
  /** On its way up, when a run is broken off. */
  let launched: Promise<Running> | undefined
  const taken = async (): Promise<Running | undefined> => {
    const was = running ?? (await launched?.catch(() => undefined))
    running = launched = undefined
    return was
  }
  const server: BrokerServer = {
    kind: 'kafka',
    title: recipe.title,
    proxy,
    env: { KAFKA_BROKERS: proxy.address },
    async start() {
      launched = launch(recipe, placement)
      running = await launched
      await waitUntilUsable(recipe, port, running)
    },
    async kill() {
      const gone = await taken()
      if (gone === undefined) return
      process.kill(gone.pid, 'SIGKILL')
      await endProcess(gone.pid, gone.birth, KILL_LIMIT_MS)
    },
    async stop() {
      const gone = await taken()
      if (gone !== undefined) await end(gone)
    },
    freeze: () => void (running === undefined || process.kill(running.pid, 'SIGSTOP')),
    thaw: () => void (running === undefined || process.kill(running.pid, 'SIGCONT')),
    async [Symbol.asyncDispose]() {
      await proxy.close()
      await server.kill()
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await prepare(recipe, placement)
    await server.start()
    return server
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

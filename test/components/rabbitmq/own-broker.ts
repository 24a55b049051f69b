/** A RabbitMQ of one's own: on a free port, with its own node name and directory, ended by its process id. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../redis/own-server.ts'
import { brokerEval, type Broker } from './support.ts'

export interface OwnBroker extends AsyncDisposable {
  readonly broker: Broker
  start(): Promise<void>
  /** As a crash: the process is gone at once. What was confirmed is on disk. */
  kill(): Promise<void>
  /** In order, as for an upgrade. */
  stop(): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  thaw(): void
  /** Runs an Erlang expression in it. */
  eval(expression: string): Promise<string>
}

/** The start of Erlang takes seconds, and a minute on a machine that does ten other things. */
const LIMIT_MS = 160_000
const PROGRAM = '/usr/lib/rabbitmq/bin/rabbitmq-server'

/** Why there can be none here, or false. */
export async function missingBrokerProgram(): Promise<string | false> {
  const isThere = await readFile(PROGRAM).then(
    () => true,
    () => false,
  )
  const reason = isThere
    ? process.getuid?.() === 0
      ? false
      : 'a broker of its own is started as the user rabbitmq, which only root can'
    : 'rabbitmq-server is not installed'
  if (reason !== false && !isThere && process.env['SLUICE_REQUIRE_SERVERS'] === '1') throw new Error(reason)
  return reason
}

export async function ownBroker(): Promise<OwnBroker> {
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'sluice-rabbitmq-'))
  // Erlang's nodes find each other by a name; this one looks for nobody.
  const node = `sluice-${randomUUID().slice(0, 8)}@localhost`
  const pidFile = join(dir, 'pid')
  const config = join(dir, 'rabbitmq.conf')
  await writeFile(config, 'loopback_users = none\nlog.console = false\ndisk_free_limit.absolute = 1MB\n')
  await chmod(dir, 0o777)
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: '/var/lib/rabbitmq',
    RABBITMQ_NODENAME: node,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
    RABBITMQ_PID_FILE: pidFile,
    RABBITMQ_CONFIG_FILE: config,
  }
  let child: ChildProcess | undefined
  let pid: number | undefined
  const server: OwnBroker = {
    broker: { address: `127.0.0.1:${port}`, vhost: '/', user: 'guest', password: 'guest' },
    async start() {
      await rm(pidFile, { force: true })
      const args = ['--reuid=rabbitmq', '--regid=rabbitmq', '--clear-groups', PROGRAM]
      child = spawn('setpriv', args, { stdio: 'ignore', env, cwd: '/' })
      await answering(port)
      pid = Number((await readFile(pidFile, 'utf8')).trim())
    },
    async kill() {
      const running = child
      child = undefined
      if (running === undefined) return
      const gone =
        running.exitCode === null && running.signalCode === null ? once(running, 'exit') : undefined
      // It may be on its way up still.
      pid ??= Number(await readFile(pidFile, 'utf8').catch(() => '')) || undefined
      signal(pid, 'SIGCONT')
      signal(pid, 'SIGKILL')
      // The shell that started it ends with it, unless it never came so far.
      if (pid === undefined) running.kill('SIGKILL')
      pid = undefined
      await gone
    },
    async stop() {
      const running = child
      if (running === undefined || pid === undefined) return server.kill()
      const gone = once(running, 'exit')
      signal(pid, 'SIGTERM')
      await gone
      child = undefined
      pid = undefined
    },
    freeze: () => signal(pid, 'SIGSTOP'),
    thaw: () => signal(pid, 'SIGCONT'),
    eval: (expression) => brokerEval(expression, { RABBITMQ_NODENAME: node }),
    async [Symbol.asyncDispose]() {
      await server.kill()
      await rm(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await server.start()
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
  return server
}

function signal(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(pid, name)
  } catch {
    // It is gone already.
  }
}

/** Resolves when it answers the first words of the protocol. */
async function answering(port: number): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ;) {
    if (await greets(port)) return
    if (Date.now() > deadline) throw new Error(`rabbitmq-server on port ${port} does not answer`)
    await delay(50)
  }
}

async function greets(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(Buffer.from('AMQP\0\0\x09\x01'))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return answer[0] === 1
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

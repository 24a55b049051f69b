/** A Redis server of one's own: on a free port, in a temporary directory, ended by its process id. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface OwnServer extends AsyncDisposable {
  readonly port: number
  /** `host:port`. */
  readonly addr: string
  start(): Promise<void>
  /** As a crash: the process is gone at once, and so is its data. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void
  thaw(): void
}

const LIMIT_MS = 10_000

/** Why there can be none here, or false. */
export async function missingServerProgram(): Promise<string | false> {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' })
  // `once` rejects when the event 'error' comes instead.
  const found = await once(child, 'exit').then(
    () => true,
    () => false,
  )
  if (!found && process.env['SLUICE_REQUIRE_SERVERS'] === '1')
    throw new Error('redis-server is not installed')
  return found ? false : 'redis-server is not installed'
}

/** `args`: settings of the server, such as `['--maxmemory', '2mb']`. */
export async function ownServer(args: readonly string[] = []): Promise<OwnServer> {
  const port = await freePort()
  const dir = await mkdtemp(join(tmpdir(), 'sluice-redis-'))
  let child: ChildProcess | undefined
  const server: OwnServer = {
    port,
    addr: `127.0.0.1:${port}`,
    async start() {
      child = spawn(
        'redis-server',
        [
          '--port',
          String(port),
          '--bind',
          '127.0.0.1',
          '--dir',
          dir,
          '--save',
          '',
          '--appendonly',
          'no',
          ...args,
        ],
        { stdio: 'ignore' },
      )
      await answering(port)
    },
    async kill() {
      const running = child
      child = undefined
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
      const gone = once(running, 'exit')
      running.kill('SIGKILL')
      await gone
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await server.kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
  await server.start()
  return server
}

/**
 * A port that nobody listens on now. Below those that systems hand out by themselves, so that nobody is given it while
 * a server that is stopped and started again does not listen.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(15_000, 32_000)
    const probe = createServer().listen(port, '127.0.0.1')
    const isFree = await once(probe, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error('no free port in a hundred tries')
}

async function answering(port: number): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ;) {
    const answer = await ask(port).catch(() => '')
    // A server with a password says NOAUTH, which is an answer too.
    if (answer.startsWith('+PONG') || answer.startsWith('-NOAUTH')) return
    if (Date.now() > deadline) throw new Error(`redis-server on port ${port} does not answer`)
    await delay(10)
  }
}

async function ask(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write('PING\r\n')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return answer.toString()
  } finally {
    socket.destroy()
  }
}

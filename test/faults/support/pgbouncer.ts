/** PgBouncer in transaction mode before a server, on a free port, ended by its process id. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../components/redis/own-server.ts'

export interface PgBouncer extends AsyncDisposable {
  /** The same database, through it. */
  dsn(direct: string): string
}

const LIMIT_MS = 10_000

export async function startPgBouncer(server: string): Promise<PgBouncer> {
  const { hostname, port: serverPort } = new URL(server)
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'sluice-pgbouncer-'))
  const file = join(directory, 'pgbouncer.ini')
  const lines = [
    '[databases]',
    `* = host=${hostname} port=${serverPort === '' ? '5432' : serverPort} user=postgres`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 10',
    'ignore_startup_parameters = extra_float_digits,options,statement_timeout',
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  // It refuses root, and reads its settings as whoever it becomes.
  await chmod(directory, 0o755)
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn('pgbouncer', ['-q', ...user, file], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)))
  const exited = once(child, 'close')
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
    await rm(directory, { recursive: true, force: true })
  }
  const until = Date.now() + LIMIT_MS
  while (!(await accepts(port))) {
    if (child.exitCode === null && Date.now() < until) continue
    await close()
    throw new Error(`pgbouncer does not listen on ${port}:\n${output}`)
  }
  return {
    dsn(direct) {
      const url = new URL(direct)
      url.host = `127.0.0.1:${port}`
      return url.href
    },
    [Symbol.asyncDispose]: close,
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const end = (answer: boolean): void => {
      socket.destroy()
      setTimeout(resolve, answer ? 0 : 50, answer)
    }
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
}

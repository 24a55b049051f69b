/** A server that speaks just enough of the Redis protocol to say what a test wants it to say. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

export interface FakeServer extends AsyncDisposable {
  readonly addr: string
  /** Commands received, the names only. */
  readonly received: readonly string[]
}

/** Answers each command with what `reply` returns, a whole reply such as `+OK\r\n`; undefined says nothing. */
export async function fakeServer(
  reply: (command: readonly string[], socket: Socket) => string | undefined,
): Promise<FakeServer> {
  const sockets = new Set<Socket>()
  const received: string[] = []
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let pending = ''
    socket.on('data', (chunk) => {
      pending += chunk.toString('latin1')
      for (let parsed = parseCommand(pending); parsed !== undefined; parsed = parseCommand(pending)) {
        pending = parsed.rest
        received.push(parsed.command[0] as string)
        const answer = reply(parsed.command, socket)
        if (answer !== undefined) socket.write(answer)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    addr: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** What a healthy server says to the commands that open a connection. */
export function welcome(command: readonly string[]): string | undefined {
  if (command[0] === 'PING') return '+PONG\r\n'
  return ['CLIENT', 'AUTH', 'SELECT', 'HELLO'].includes(command[0] as string) ? '+OK\r\n' : undefined
}

function parseCommand(
  text: string,
): { readonly command: readonly string[]; readonly rest: string } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text)
  if (head === null) return undefined
  let rest = text.slice(head[0].length)
  const command: string[] = []
  for (let left = Number(head[1]); left > 0; left -= 1) {
    const size = /^\$(\d+)\r\n/.exec(rest)
    if (size === null) return undefined
    const start = size[0].length
    const end = start + Number(size[1])
    if (rest.length < end + 2) return undefined
    command.push(rest.slice(start, end))
    rest = rest.slice(end + 2)
  }
  return { command, rest }
}

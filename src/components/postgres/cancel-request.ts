/**
 * Asks the server to stop what it does for a connection: closing it alone would not. Best effort, on a connection of
 * its own, as the protocol wants it; nobody waits for it, and it has no answer. It carries the connection's secret, so
 * that it is encrypted where the connection is, with the same options; where that fails, nothing is sent.
 */
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { DriverClient } from './driver.ts'

/** Codes of the protocol's CancelRequest and SSLRequest. */
const CANCEL_REQUEST = 80_877_102
const SSL_REQUEST = 80_877_103
/** The server's yes to it. */
const YES = 'S'
const LIMIT_MS = 2_000

export function cancelAtServer(client: DriverClient, stream: Socket): void {
  const { processID, secretKey } = client
  if (processID === null || secretKey === null) return
  const socket = reach(client, stream)
  if (socket === undefined) return
  contain(socket)
  const message = wordsOf(16, CANCEL_REQUEST, processID, secretKey)
  if (client.ssl === false) socket.end(message)
  else if (client.sslNegotiation === 'direct') encrypted(client, socket).end(message)
  else {
    socket.write(wordsOf(8, SSL_REQUEST))
    socket.once('data', (answer) => {
      // More than the one byte would be somebody's on the way.
      if (answer.toString('latin1') === YES) encrypted(client, socket).end(message)
      else socket.destroy()
    })
  }
}

/** To the very server that the connection goes to, not another one behind the same name. */
function reach({ host, port }: DriverClient, { remoteAddress, remotePort }: Socket): Socket | undefined {
  if (remoteAddress !== undefined && remotePort !== undefined) return connect(remotePort, remoteAddress)
  return host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : undefined
}

/** As `pg` does it for the connection itself. */
function encrypted({ ssl, sslNegotiation, host }: DriverClient, socket: Socket): Socket {
  const options = typeof ssl === 'object' ? ssl : {}
  const secure = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 && { servername: host }),
    ...options,
    // `pg` hides it from whoever lists the options.
    ...('key' in options && { key: options['key'] as string }),
    ...(sslNegotiation === 'direct' && { ALPNProtocols: ['postgresql'] }),
  })
  contain(secure)
  return secure
}

function contain(socket: Socket): void {
  socket.unref()
  socket.setTimeout(LIMIT_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
}

function wordsOf(...words: readonly number[]): Buffer {
  const message = Buffer.alloc(4 * words.length)
  for (const [at, word] of words.entries()) message.writeInt32BE(word, 4 * at)
  return message
}

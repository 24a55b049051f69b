/**
 * Asks the server to stop what it does for a connection: closing it alone would not. Best effort, on a connection of
 * its own, as the protocol wants it; nobody waits for it, and it has no answer.
 */
import { connect, type Socket } from 'node:net'
import type { DriverClient } from './driver.ts'

/** Code of the protocol's CancelRequest. */
const CANCEL_REQUEST = 80_877_102
const LIMIT_MS = 2_000

export function cancelAtServer(client: DriverClient, stream: Socket): void {
  const { processID, secretKey } = client
  if (processID === null || secretKey === null) return
  const socket = reach(client, stream)
  if (socket === undefined) return
  const message = Buffer.alloc(16)
  message.writeInt32BE(16, 0)
  message.writeInt32BE(CANCEL_REQUEST, 4)
  message.writeInt32BE(processID, 8)
  message.writeInt32BE(secretKey, 12)
  socket.unref()
  socket.setTimeout(LIMIT_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.end(message)
}

/** To the very server that the connection goes to, not another one behind the same name. */
function reach({ host, port }: DriverClient, { remoteAddress, remotePort }: Socket): Socket | undefined {
  if (remoteAddress !== undefined && remotePort !== undefined) return connect(remotePort, remoteAddress)
  return host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : undefined
}

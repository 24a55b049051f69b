/** Is anybody there? Asked before the driver is loaded, as that costs 100 ms of the processor and an absent server none. */
import { connect } from 'node:net'
import { onAbort } from '../../../core/abort.ts'
import { SluiceError } from '../../../core/errors.ts'
import { describeAddress } from '../address.ts'
import type { ConnectionSettings } from './client.ts'
import { cannotConnect } from './errors.ts'

/** Resolves when the address accepts a connection, which is closed at once. */
export async function probe(
  { component, address, dialTimeoutMs }: ConnectionSettings,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const where = describeAddress(address)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect(
    address.path === undefined ? { host: address.host, port: address.port } : { path: address.path },
  )
  socket.setTimeout(dialTimeoutMs, () => {
    const message = `${component}: no connection to ${where} within ${dialTimeoutMs} ms`
    reject(new SluiceError('SLUICE_TIMEOUT', message, { retryable: true }))
  })
  socket.once('connect', () => resolve())
  socket.on('error', (error) => reject(cannotConnect(component, where, error)))
  const release = onAbort(signal, reject)
  try {
    await promise
  } finally {
    release()
    socket.destroy()
  }
}

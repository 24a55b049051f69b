/** Is anybody there? Asked before the driver is loaded, as that costs 100 ms of the processor and an absent server none. */
import { connect } from 'node:net'
import { onAbort } from '../../../core/abort.ts'
import { SluiceError } from '../../../core/errors.ts'
import { describeAddress, type Address } from '../address.ts'
import { cannotConnect } from './errors.ts'

/** Resolves when the address accepts a connection, which is closed at once. */
export async function probe(address: Address, limitMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const where = describeAddress(address)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect(
    address.path === undefined ? { host: address.host, port: address.port } : { path: address.path },
  )
  socket.setTimeout(limitMs, () => {
    const message = `redis: no connection to ${where} within ${limitMs} ms`
    reject(new SluiceError('SLUICE_TIMEOUT', message, { retryable: true }))
  })
  socket.once('connect', () => resolve())
  socket.on('error', (error) => reject(cannotConnect(where, error)))
  const release = onAbort(signal, reject)
  try {
    await promise
  } finally {
    release()
    socket.destroy()
  }
}

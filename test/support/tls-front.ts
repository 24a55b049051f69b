/** TLS in front of a server that speaks none: it passes on what it decrypts. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { createServer } from 'node:tls'
import type { Certificate } from './certificates.ts'

export interface TlsFront extends AsyncDisposable {
  /** On 127.0.0.1. */
  readonly port: number
}

export async function startTlsFront(
  certificate: Certificate,
  target: { readonly host: string; readonly port: number },
): Promise<TlsFront> {
  const open = new Set<Socket>()
  const [key, cert] = await Promise.all([readFile(certificate.key), readFile(certificate.cert)])
  const server = createServer({ key, cert }, (secure) => {
    const plain = connect(target.port, target.host)
    const end = (): void => {
      for (const socket of [secure, plain]) {
        socket.destroy()
        open.delete(socket)
      }
    }
    for (const socket of [secure, plain]) open.add(socket.on('error', end).on('close', end))
    secure.pipe(plain).pipe(secure)
  })
  // Whoever does not believe the certificate.
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

import { connect } from 'node:net'

/** Sends bytes to a server and gives what it answers, as soon as `isWhole` says that it is enough. */
export function exchange(options: {
  readonly host: string
  readonly port: number
  readonly hello: Buffer
  readonly isWhole: (answer: Buffer) => boolean
  readonly signal: AbortSignal
}): Promise<Buffer> {
  const { host, port, hello, isWhole, signal } = options
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect({ host, port })
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      settle()
    }
    const onAbort = (): void => end(() => reject(signal.reason as Error))
    let answer = Buffer.alloc(0)
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('connect', () => socket.write(hello))
    socket.once('error', (error) => end(() => reject(error)))
    socket.once('close', () => end(() => reject(new Error('it closed the connection without an answer'))))
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      if (isWhole(answer)) end(() => resolve(answer))
    })
  })
}

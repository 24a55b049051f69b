/**
 * Keeps garbage from a broker, or from whatever answers in its place, from ending the process: the driver reads answers
 * in the socket's event and throws where they make no sense, which nobody could catch. Here the socket is destroyed
 * instead, so that the requests on it fail and the next ones get another.
 */
import type { Socket } from 'node:net'
import { toError } from '../../../core/errors.ts'
import type { KafkaModule } from './peer.ts'

interface DriverConnection {
  readonly socket: Socket | undefined
  once(event: 'connecting', listener: () => void): unknown
}

/** Guards the connections that are made from now on; returns what ends that. */
export function guardConnections(module: KafkaModule): () => void {
  const { instancesChannel } = module
  const onCreation = (event: unknown): void => {
    const { type, instance } = event as { readonly type: string; readonly instance: DriverConnection }
    if (type === 'connection') instance.once('connecting', () => queueMicrotask(() => guard(instance.socket)))
  }
  instancesChannel.subscribe(onCreation)
  return () => {
    instancesChannel.unsubscribe(onCreation)
  }
}

function guard(socket: Socket | undefined): void {
  if (socket === undefined) return
  // The driver listens from the moment of the connection on, and was there before us.
  socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => {
    for (const listener of socket.listeners('data') as ((chunk: Buffer) => void)[]) {
      socket.off('data', listener)
      socket.on('data', (chunk: Buffer) => {
        try {
          listener.call(socket, chunk)
        } catch (error) {
          socket.destroy(toError(error))
        }
      })
    }
  })
}

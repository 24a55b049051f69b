/**
 * The driver, loaded on first use, and the four places where its documented interface is not enough. Each looks before it
 * touches, and what is lost where a later version of the driver is built otherwise is said there.
 */
import { Socket } from 'node:net'
import type * as Rabbit from 'rabbitmq-client'
import { loadPeer } from '../../../app/peer.ts'

export type RabbitModule = Pick<typeof Rabbit, 'Connection'>
export type DriverConnection = Rabbit.Connection
export type DriverChannel = Rabbit.Channel
export type Envelope = Rabbit.Envelope
export type Delivered = Rabbit.AsyncMessage | Rabbit.SyncMessage
export type Returned = Rabbit.ReturnedMessage

export function loadRabbit(): Promise<RabbitModule> {
  return loadPeer('rabbitmq-client', 'rabbitmq', () => import('rabbitmq-client'))
}

/** Bytes of a frame: the broker's own default, so that headers of others fit and large bodies are few frames. */
export const FRAME_MAX = 131_072

/** The socket below, for `bytesRead` and `cork`. Without it silence is left to the driver's heartbeat, and writes are smaller. */
export function socketOf(connection: DriverConnection): Socket | undefined {
  const socket = (connection as { readonly _socket?: unknown })._socket
  return socket instanceof Socket ? socket : undefined
}

interface Frames {
  readonly _opt?: { frameMax?: unknown }
  readonly _state?: { readonly frameMax?: unknown }
}

/**
 * The driver cuts bodies, and counts the frames of what it is sent, by the size that it asked for, not by the one that
 * the broker agreed to. Without this a broker with a smaller `frame_max` breaks the connection at the first large body.
 */
export function useAgreedFrameSize(connection: DriverConnection): void {
  const { _opt: asked, _state: agreed } = connection as unknown as Frames
  if (asked !== undefined && typeof agreed?.frameMax === 'number') asked.frameMax = agreed.frameMax
}

/** More than any frame that was agreed on. */
const LARGEST_READ = FRAME_MAX * 2

/**
 * The driver believes the size that a frame says it has, and asks its socket for as much: with a byte changed on the way
 * that is more than a stream may hold, which throws where nobody can catch it and ends the process. Such a connection is
 * ended instead. Without this such a byte ends the process.
 */
export function refuseHugeFrames(connection: DriverConnection): void {
  const socket = socketOf(connection)
  if (socket === undefined) return
  const read = socket.read.bind(socket)
  socket.read = (size?: number): unknown => {
    if (size === undefined || size <= LARGEST_READ) return read(size) as unknown
    socket.destroy(new Error(`a frame of ${size} bytes, which nobody agreed to`))
    return null
  }
}

interface Header {
  readonly fields?: { contentType?: string; [CONTENT_TYPE]?: string }
}

const CONTENT_TYPE = Symbol('contentType')

/**
 * Makes the driver hand out bodies as they came. It parses JSON and text by itself, after which the bytes are gone: a
 * number of twenty digits, a duplicate key or a broken character would not reach the dead letters as they were. Without
 * it such bodies are written again from what was parsed.
 */
export function keepBytes(channel: DriverChannel): void {
  const inner = channel as unknown as { _onHeader?: (header: Header) => void }
  const onHeader = inner._onHeader
  if (typeof onHeader !== 'function') return
  inner._onHeader = (header) => {
    const { fields } = header
    if (fields?.contentType !== undefined) {
      fields[CONTENT_TYPE] = fields.contentType
      delete fields.contentType
    }
    onHeader.call(channel, header)
  }
}

/** The body and its content type, of a channel that keeps bytes. */
export function bodyOf(message: Delivered | Returned): {
  readonly bytes: Buffer
  readonly contentType: string | undefined
} {
  const kept = (message as { readonly [CONTENT_TYPE]?: string })[CONTENT_TYPE]
  const body: unknown = message.body
  const contentType = kept ?? message.contentType
  if (Buffer.isBuffer(body)) return { bytes: body, contentType }
  return { bytes: Buffer.from(typeof body === 'string' ? body : (JSON.stringify(body) ?? '')), contentType }
}

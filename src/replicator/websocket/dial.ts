/** The socket under a WebSocket, whose bytes go through `WholeFrames` before `ws` reads what is left of them. */
import * as net from 'node:net'
import * as tls from 'node:tls'
import { WholeFrames, type WholeFramesOptions } from './whole-frames.ts'

export interface DialOptions extends Pick<WholeFramesOptions, 'maxPayload' | 'take'> {
  readonly isSecure: boolean
  /** May a message be taken now? */
  readonly isOpen: () => boolean
}

/** For `createConnection` of `ws`: it then has the socket that is made here. */
export function dialer({ isSecure, maxPayload, take, isOpen }: DialOptions): typeof net.createConnection {
  const dial = (given: net.TcpNetConnectOpts): net.Socket => {
    const frames = new WholeFrames({
      maxPayload,
      take,
      // What `ws` was given and has not read comes first.
      isOpen: () => isOpen() && socket.readableLength === 0,
      pass: (bytes) => socket.push(bytes),
    })
    const onread = {
      buffer: () => frames.room,
      callback: (count: number) => {
        const isMore = count === frames.room.length
        const goesOn = frames.read(count)
        if (!goesOn || !isMore || !isOpen()) return goesOn
        // What more there is would be read at once, for as long as more comes: the store would neither be written to nor
        // heard meanwhile, and no timer would run.
        setImmediate(() => {
          if (isOpen()) socket.resume()
        })
        return false
      },
    }
    // As `ws` does it by itself: the path is that of the URL, and means a socket in the file system here.
    const options = { ...given, path: undefined, onread }
    const socket: net.Socket = isSecure
      ? tls.connect({
          ...options,
          servername: net.isIP(given.host ?? '') === 0 ? given.host : '',
        } as tls.ConnectionOptions)
      : net.connect(options as net.TcpNetConnectOpts)
    return socket
  }
  return dial as typeof net.createConnection
}

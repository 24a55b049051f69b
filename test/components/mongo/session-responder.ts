/**
 * What a replica set adds to the protocol, as far as a client sees it, before a server that has no sessions.
 *
 *     client ──OP_MSG──▶ responder ──without lsid, txnNumber, …──▶ server
 *
 * It says that the server is the primary of a replica set, takes what belongs to sessions off every command before it
 * goes on, and answers commitTransaction and abortTransaction itself. A test may answer any command in its place, as a
 * replica set would: with an error and its labels, with silence, with a cut. The driver is the real one and so are the bytes.
 *
 * It has no isolation: what a transaction writes is there at once and stays after an abort. So it shows what is sent and
 * when it is sent again, and nothing of what MongoDB makes of it.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'

const OP_REPLY = 1
const OP_MSG = 2_013
const HEADER = 16
/** Behind header, flags, cursor id, first and number. */
const REPLY_BODY = HEADER + 20
/** Behind header, flags and the kind of the section. */
const MSG_BODY = HEADER + 5

export type Answer = Document | 'cut' | 'silence' | undefined

export interface Responder extends AsyncDisposable {
  readonly url: string
  /** Names of the commands that came, the oldest first; those of the driver's own are left out. */
  readonly commands: readonly string[]
  readonly seen: readonly Document[]
  /** Answers in place of the server; undefined lets the command go its way. */
  answer: (name: string, command: Document) => Answer
}

/** An error as a server sends it. */
export function failure(code: number, codeName: string, ...errorLabels: readonly string[]): Document {
  return { ok: 0, code, codeName, errmsg: `${codeName} was asked for`, errorLabels }
}

const OWN = new Set(['hello', 'isMaster', 'ismaster', 'ping', 'endSessions', 'killCursors', 'dropDatabase'])
const OF_SESSIONS = [
  'lsid',
  'txnNumber',
  'startTransaction',
  'autocommit',
  '$clusterTime',
  'readConcern',
  'writeConcern',
]

export async function startResponder(target: {
  readonly host: string
  readonly port: number
}): Promise<Responder> {
  const seen: Document[] = []
  const sockets = new Set<Socket>()
  let address = ''
  const responder = {
    url: '',
    get commands() {
      return seen.map((command) => Object.keys(command)[0]!)
    },
    seen,
    answer: (): Answer => undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  } as Responder & { url: string }

  const onMessage = (message: Buffer, client: Socket, backend: Socket): void => {
    if (message.readInt32LE(12) !== OP_MSG) {
      backend.write(message)
      return
    }
    const length = message.readInt32LE(MSG_BODY)
    const command = read(message.subarray(MSG_BODY, MSG_BODY + length))
    const name = Object.keys(command)[0] ?? ''
    if (!OWN.has(name)) seen.push({ ...command })
    const answer = responder.answer(name, command) ?? ownAnswer(name)
    if (answer === 'silence') return
    if (answer === 'cut') {
      client.destroy()
      return
    }
    if (answer !== undefined) {
      client.write(msg(message.readInt32LE(4), answer))
      return
    }
    for (const field of OF_SESSIONS) delete command[field]
    const body = BSON.serialize(command)
    const rest = message.subarray(MSG_BODY + length)
    const forwarded = Buffer.concat([message.subarray(0, MSG_BODY), body, rest])
    forwarded.writeInt32LE(forwarded.length, 0)
    backend.write(forwarded)
  }

  const server = createServer((client) => {
    const backend = connect(target)
    for (const [one, other] of [
      [client, backend],
      [backend, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    client.on(
      'data',
      whole((message) => onMessage(message, client, backend)),
    )
    backend.on(
      'data',
      whole((message) => client.write(asPrimary(message, address))),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  responder.url = `mongodb://${address}/?replicaSet=rs0`
  return responder
}

function ownAnswer(name: string): Document | undefined {
  return name === 'commitTransaction' || name === 'abortTransaction' || name === 'endSessions'
    ? { ok: 1 }
    : undefined
}

/** The answer to a greeting, with what a primary says. */
function asPrimary(message: Buffer, address: string): Buffer {
  const isMsg = message.readInt32LE(12) === OP_MSG
  const start = isMsg ? MSG_BODY : REPLY_BODY
  const document = read(message.subarray(start))
  if (document['maxWireVersion'] === undefined) return message
  Object.assign(document, {
    setName: 'rs0',
    hosts: [address],
    me: address,
    primary: address,
    isWritablePrimary: true,
    secondary: false,
    logicalSessionTimeoutMinutes: 30,
  })
  const answer = Buffer.concat([message.subarray(0, start), BSON.serialize(document)])
  answer.writeInt32LE(answer.length, 0)
  answer.writeInt32LE(isMsg ? OP_MSG : OP_REPLY, 12)
  return answer
}

/** Types stay as they came. */
function read(bytes: Uint8Array): Document {
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 4).readInt32LE(0)
  return BSON.deserialize(bytes.subarray(0, length), { promoteValues: false })
}

function msg(responseTo: number, document: Document): Buffer {
  const body = BSON.serialize(document)
  const message = Buffer.alloc(MSG_BODY + body.length)
  message.writeInt32LE(message.length, 0)
  message.writeInt32LE(responseTo, 8)
  message.writeInt32LE(OP_MSG, 12)
  message.set(body, MSG_BODY)
  return message
}

/** Calls back with one message at a time, however the bytes come. */
function whole(onMessage: (message: Buffer) => void): (bytes: Buffer) => void {
  let held: Buffer = Buffer.alloc(0)
  return (bytes) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes])
    while (held.length >= 4 && held.length >= held.readInt32LE(0)) {
      const length = held.readInt32LE(0)
      onMessage(Buffer.from(held.subarray(0, length)))
      held = held.subarray(length)
    }
  }
}

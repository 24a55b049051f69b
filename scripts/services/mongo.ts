/** A stand-in that speaks MongoDB's protocol and keeps everything in memory. It has no sessions and no transactions. */
import { join } from 'node:path'
import { exchange } from './exchange.ts'
import { jvm, type Recipe } from './service.ts'

const VERSION = '1.47.0'

export const mongo: Recipe = {
  name: 'mongo',
  title: `a stand-in for MongoDB (mongo-java-server ${VERSION}; no sessions, no transactions)`,
  artifacts: [{ coordinates: `de.bwaldvogel:mongo-java-server:${VERSION}`, as: 'classpath' }],
  ports: { port: 27017 },
  // Its oplog keeps every change until it ends: 85,000 documents of 250 bytes filled 128 MB.
  heapMb: 1024,
  prepare: () => Promise.resolve([]),
  command: ({ host, ports, jars, heapMb }) => ({
    program: 'java',
    args: [
      ...jvm(heapMb, join(jars, '*')),
      join(import.meta.dirname, 'MongoStandIn.java'),
      host,
      String(ports['port']),
    ],
  }),
  probe: async (host, port, signal) => {
    const answer = await exchange({ host, port, hello: helloMessage(), isWhole, signal })
    if (!answer.includes('maxWireVersion')) throw new Error('it does not speak the protocol of MongoDB')
    return 'MongoDB, answers isMaster'
  },
  address: (host, port) => `MONGO_URL=mongodb://${host}:${port}`,
}

/** An OP_MSG with the document `{ isMaster: 1, $db: 'admin' }`. */
function helloMessage(): Buffer {
  const fields = Buffer.from('\x10isMaster\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0', 'latin1')
  const message = Buffer.alloc(16 + 4 + 1 + 4 + fields.length)
  message.writeInt32LE(message.length, 0)
  message.writeInt32LE(1, 4) // the request id
  message.writeInt32LE(2013, 12) // OP_MSG
  message.writeUInt8(0, 20) // one document follows
  message.writeInt32LE(4 + fields.length, 21)
  fields.copy(message, 25)
  return message
}

function isWhole(answer: Buffer): boolean {
  return answer.length >= 4 && answer.length >= answer.readInt32LE(0)
}

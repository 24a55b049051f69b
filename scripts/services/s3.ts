/** S3Mock: the protocol of S3 over a directory. Any key and secret will do; there is no check of signatures. */
import { join } from 'node:path'
import { jvm, type Recipe } from './service.ts'

const VERSION = '4.11.0'

export const s3: Recipe = {
  name: 's3',
  title: `S3Mock ${VERSION}`,
  artifacts: [{ coordinates: `com.adobe.testing:s3mock:${VERSION}:jar:exec`, as: 'unpack' }],
  ports: { port: 9090 },
  heapMb: 192,
  prepare: () => Promise.resolve([]),
  command: ({ host, ports, directory, jars, heapMb }) => ({
    program: 'java',
    args: [
      ...jvm(heapMb, `${join(jars, 'BOOT-INF/classes')}:${join(jars, 'BOOT-INF/lib')}/*`),
      join(import.meta.dirname, 'S3Loopback.java'),
      `--com.adobe.testing.s3mock.store.root=${join(directory, 'data')}`,
      `--server.address=${host}`,
      `--server.port=${ports['port']}`,
      '--server.ssl.enabled=false',
      '--logging.level.root=WARN',
      '--spring.main.banner-mode=off',
    ],
  }),
  probe: async (host, port, signal) => {
    const answer = await fetch(`http://${host}:${port}/`, { signal })
    const body = await answer.text()
    if (!body.includes('ListAllMyBucketsResult'))
      throw new Error(`it answers ${answer.status}, and not as S3 does`)
    return 'S3, lists its buckets'
  },
  address: (host, port) => `S3_ENDPOINT=http://${host}:${port} (any key and secret)`,
}

/** An HTTP server that answers as it is told, where the mock would answer well. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { S3Options } from '../../../src/components/s3/index.ts'

export interface FakeService extends AsyncDisposable {
  readonly options: S3Options
  /** Requests so far, without the looks into the bucket: `PUT /bucket/key?x`. */
  readonly requests: readonly string[]
  /** From now on; `undefined` lets the default answer. */
  answer: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>
}

const EMPTY_LIST =
  '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>'

export async function fakeService(): Promise<FakeService> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    // The look into the bucket, by which it is connected.
    if (request.url?.includes('max-keys=1&') || request.url?.endsWith('max-keys=1')) {
      response.setHeader('content-type', 'application/xml').end(EMPTY_LIST)
      return
    }
    requests.push(`${request.method} ${request.url}`)
    request.on('error', () => {})
    void Promise.resolve(fake.answer(request, response)).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const fake: FakeService = {
    options: {
      endpoint: `http://127.0.0.1:${port}`,
      bucket: 'bucket',
      accessKeyId: 'canary-key-4711',
      secretAccessKey: 'canary-secret-4711',
      maxRetries: 0,
    },
    requests,
    answer: (_request, response) => void response.writeHead(500).end(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return fake
}

/** An error as S3 writes it. */
export function refuse(response: ServerResponse, status: number, code: string, more = ''): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>said the service</Message>${more}</Error>`
  response.writeHead(status, { 'content-type': 'application/xml', 'x-amz-request-id': 'request-7' }).end(body)
}

/** Reads the body of a request to its end. */
export async function drained(request: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) bytes += chunk.length
  return bytes
}

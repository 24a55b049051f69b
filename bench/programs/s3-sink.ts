/**
 * A server that speaks as much of the protocol of S3 as the benchmark uses, and throws away what it is sent: 5 GiB need no
 * disk then, and what is measured is the client. Says its port to its parent.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const ETAG = '"0123456789abcdef0123456789abcdef"'
const OBJECT = Buffer.alloc(1_024, 'x')

function answer(request: IncomingMessage, response: ServerResponse, bytes: number): void {
  const url = request.url ?? ''
  if (request.method === 'GET') {
    if (url.includes('list-type=2'))
      response.end(
        '<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>',
      )
    else response.writeHead(200, { etag: ETAG, 'content-length': OBJECT.length }).end(OBJECT)
  } else if (request.method === 'POST' && url.includes('uploads')) {
    response.end('<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>')
  } else if (request.method === 'POST') {
    response.end(`<CompleteMultipartUploadResult><ETag>${ETAG}</ETag></CompleteMultipartUploadResult>`)
  } else {
    received += bytes
    response.writeHead(request.method === 'DELETE' ? 204 : 200, { etag: ETAG, 'content-length': 0 }).end()
  }
}

/** Of objects and parts, so far. */
let received = 0

const server = createServer((request, response) => {
  if (request.url === '/received') {
    response.end(String(received))
    return
  }
  let bytes = 0
  request.on('data', (chunk: Buffer) => (bytes += chunk.length))
  request.on('end', () => answer(request, response, bytes))
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))

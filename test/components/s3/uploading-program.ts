/** Begins an upload in parts, says when a part has been stored, and waits to be killed. */
import { Readable } from 'node:stream'
import { s3, type S3Options } from '../../../src/components/s3/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'

const PART = 5 * 1024 * 1024
const open = await connectComponent(s3(JSON.parse(process.env['UPLOAD'] ?? '{}') as S3Options))
let given = 0
const endless = new Readable({
  read() {
    if (given++ < 3) this.push(Buffer.alloc(PART))
  },
})
await open.api.upload('left', endless, {
  partSize: PART,
  idleTimeout: '10m',
  onProgress: () => console.log('a part is stored'),
})

/** The configuration of s3: environment names that deployments already have, MinIO's among them. */
import {
  boolean,
  duration,
  field,
  integer,
  oneOf,
  right,
  secret,
  size,
  text,
  wrong,
} from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import { defineSection, type SectionFault, type SectionValues } from '../../config/section.ts'
import { parseEndpoint } from './endpoint.ts'

const ENDPOINT_TYPE = "a URL that begins with 'http://' or 'https://', or host:port"
/** What S3 takes as the least size of a part but the last, and as the largest. */
const MIN_PART = '5mb'
const MAX_PART = '5gb'

export const CHECKSUMS = ['always', 'when-required'] as const

export const s3Section = defineSection({
  name: 's3',
  fields: {
    endpoint: field<string>(
      {
        env: ['S3_ENDPOINT', 'MINIO_ENDPOINT'],
        doc: 'Where the service is: MinIO or another one that speaks the protocol; without it, Amazon',
      },
      ENDPOINT_TYPE,
      (raw) => {
        if (typeof raw !== 'string' || raw.trim() === '') return wrong(ENDPOINT_TYPE)
        const parsed = parseEndpoint(raw.trim())
        return 'expected' in parsed ? wrong(parsed.expected) : right(raw.trim())
      },
      { secrecy: 'url', show: redactUrl },
    ),
    bucket: text({
      env: ['S3_BUCKET', 'MINIO_BUCKET'],
      doc: 'Bucket; without it, objects are files in `directory`',
    }),
    createBucket: boolean({
      env: 'S3_CREATE_BUCKET',
      default: false,
      doc: 'Create the bucket where it is missing',
    }),
    region: text({
      env: ['S3_REGION', 'AWS_REGION', 'AWS_DEFAULT_REGION'],
      default: 'us-east-1',
      doc: 'Region of the bucket',
    }),
    accessKeyId: secret({
      env: ['S3_ACCESS_KEY_ID', 'MINIO_ACCESS_KEY'],
      doc: "Key; without it, the SDK looks where it always does (AWS_* variables, profiles, the machine's role)",
    }),
    secretAccessKey: secret({ env: ['S3_SECRET_ACCESS_KEY', 'MINIO_SECRET_KEY'], doc: 'Secret of that key' }),
    sessionToken: secret({ env: 'S3_SESSION_TOKEN', doc: 'Token of temporary credentials' }),
    forcePathStyle: boolean({
      env: 'S3_FORCE_PATH_STYLE',
      doc: 'The bucket in the path instead of the host name; true where an endpoint is set, else false',
    }),
    keyPrefix: text({ env: 'S3_KEY_PREFIX', doc: 'Put before every key' }),
    tls: boolean({
      env: ['S3_TLS', 'MINIO_USE_SSL'],
      default: false,
      doc: 'https for an endpoint that is written as host:port',
    }),
    tlsRejectUnauthorized: boolean({
      env: 'S3_TLS_REJECT_UNAUTHORIZED',
      default: true,
      doc: 'false accepts any certificate: for tests only, it is logged as a warning',
    }),
    tlsCa: text({
      env: 'S3_TLS_CA',
      doc: 'File with the authorities that may vouch for the service, instead of those of Node',
    }),
    tlsCert: text({ env: 'S3_TLS_CERT', doc: 'File with the certificate of the client' }),
    tlsKey: text({ env: 'S3_TLS_KEY', doc: 'File with the key of that certificate' }),
    checksums: oneOf(CHECKSUMS, {
      env: 'S3_CHECKSUMS',
      default: 'always',
      doc: 'CRC-32 of what is sent and received; `when-required` for services that refuse it',
    }),
    dialTimeout: duration({
      env: 'S3_DIAL_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of opening a connection',
    }),
    requestTimeout: duration({
      env: 'S3_REQUEST_TIMEOUT',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'Limit of a request, waiting and retries included; one with a body has a second more for each 64 KB of it',
    }),
    idleTimeout: duration({
      env: 'S3_IDLE_TIMEOUT',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'A body of which nothing moved for this long is given up: sent or received, by us or by them',
    }),
    partSize: size({
      env: 'S3_PART_SIZE',
      default: '8mb',
      min: MIN_PART,
      max: MAX_PART,
      doc: 'Bytes of one part of an upload; an object has 10,000 parts at most',
    }),
    partConcurrency: integer({
      env: 'S3_PART_CONCURRENCY',
      default: 3,
      min: 1,
      max: 100,
      doc: 'Parts of one upload that are sent at once; one more is being filled',
    }),
    maxRequests: integer({
      env: 'S3_MAX_REQUESTS',
      default: 32,
      min: 1,
      max: 10_000,
      doc: 'Requests under way at once, downloads aside; more wait',
    }),
    maxUploads: integer({
      env: 'S3_MAX_UPLOADS',
      default: 8,
      min: 1,
      max: 1_000,
      doc: 'Uploads in parts under way at once; more wait',
    }),
    maxDownloads: integer({
      env: 'S3_MAX_DOWNLOADS',
      default: 32,
      min: 1,
      max: 10_000,
      doc: 'Downloads that are open at once, each until its body is read or destroyed; more wait',
    }),
    maxWaiting: integer({
      env: 'S3_MAX_WAITING',
      default: 10_000,
      min: 0,
      max: 1_000_000,
      doc: 'Calls of each of these that may wait; more are refused with SLUICE_POOL_FULL',
    }),
    maxRetries: integer({
      env: 'S3_MAX_RETRIES',
      default: 2,
      min: 0,
      max: 10,
      doc: 'Retries of a request that may be repeated; those of a part are its own',
    }),
    sweepAfter: duration({
      env: 'S3_SWEEP_AFTER',
      unit: 'h',
      min: '1m',
      doc: 'Uploads in parts below the prefix that were begun longer ago are aborted, every quarter of that; without it never, but in a directory after a day',
    }),
    directory: text({
      env: 'S3_DIRECTORY',
      defaultText: '`.sluice/<app>/s3`',
      doc: 'Where objects are files, without a bucket',
    }),
    publicUrl: text({
      env: 'S3_PUBLIC_URL',
      defaultText: 'the address that the app listens on',
      doc: 'What presigned URLs of a directory begin with',
    }),
    signingKey: secret({
      env: 'S3_SIGNING_KEY',
      doc: 'Signs the URLs of a directory; without it, a key in the directory',
    }),
  },
  check: (values) => {
    const faults: (SectionFault & { field: string })[] = []
    if (values.endpoint !== undefined && values.bucket === undefined)
      faults.push({ field: 'bucket', expected: 'a value, as endpoint is set' })
    if (values.accessKeyId !== undefined && values.secretAccessKey === undefined)
      faults.push({ field: 'secretAccessKey', expected: 'a value, as accessKeyId is set' })
    if (values.secretAccessKey !== undefined && values.accessKeyId === undefined)
      faults.push({ field: 'accessKeyId', expected: 'a value, as secretAccessKey is set' })
    if (values.publicUrl !== undefined && !/^https?:$/.test(URL.parse(values.publicUrl)?.protocol ?? ''))
      faults.push({ field: 'publicUrl', expected: "a URL that begins with 'http://' or 'https://'" })
    return faults
  },
})

export type S3Config = SectionValues<typeof s3Section.fields>

/**
 * The SDK's client with everything bounded that it leaves open: it has no limit of a request's time, and at most fifty
 * sockets with a queue without end before them. There are as many sockets here as operations may be under way, so that
 * nothing waits in that queue, with the deadline of an operation on all that waits before.
 */
import { Agent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import type { S3Client } from '@aws-sdk/client-s3'
import type { ComponentContext } from '../../../app/component.ts'
import { readTlsFiles } from '../../../config/tls-files.ts'
import { SluiceError } from '../../../core/errors.ts'
import { endpointUrl, parseEndpoint } from '../endpoint.ts'
import type { S3Config } from '../section.ts'
import type { S3Module } from './peer.ts'

/** Requests that clean up, beside the operations. */
const SPARE_SOCKETS = 4
/** Idle sockets are closed before most services would: what is sent into one that closes is lost. */
const KEEP_IDLE_MS = 4_000

/** One request, with our errors. The signal ends it, and the body of its answer as well. */
export type Send = <Output>(
  what: string,
  command: (module: S3Module, bucket: string) => object,
  signal: AbortSignal,
) => Promise<Output>

export interface Connection {
  readonly module: S3Module
  readonly client: S3Client
  /** For presigned URLs: the checksum of a body that is not there yet would be signed with them. */
  readonly signer: S3Client
  readonly bucket: string
  close(): void
}

export function connect(module: S3Module, context: ComponentContext<S3Config>): Connection {
  const { config, name, log } = context
  const { bucket } = config
  if (bucket === undefined) throw new SluiceError('SLUICE_CONFIG', 's3.bucket: expected a value')
  const endpoint = endpointOf(config)
  if (!config.tlsRejectUnauthorized)
    log.warn({ component: name }, `${name}: certificates are not verified (tlsRejectUnauthorized: false)`)
  const agentOptions = {
    keepAlive: true,
    scheduling: 'lifo',
    maxSockets: config.maxRequests + config.maxDownloads + SPARE_SOCKETS,
    timeout: KEEP_IDLE_MS,
  } as const
  const httpAgent = new Agent(agentOptions)
  const httpsAgent = new TlsAgent({
    ...agentOptions,
    rejectUnauthorized: config.tlsRejectUnauthorized,
    ...readTlsFiles(name, { ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey }),
  })
  const requestHandler = {
    connectionTimeout: config.dialTimeout,
    socketTimeout: config.idleTimeout,
    httpAgent,
    httpsAgent,
  }
  const settings = {
    region: config.region,
    forcePathStyle: config.forcePathStyle ?? endpoint !== undefined,
    // Operations repeat what may be repeated.
    maxAttempts: 1,
    // It would give each large body a socket of its own.
    expectContinueHeader: false,
    followRegionRedirects: false,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...credentialsOf(config),
  }
  const checksum = config.checksums === 'always' ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED'
  const client = new module.S3Client({
    ...settings,
    requestHandler,
    requestChecksumCalculation: checksum,
    responseChecksumValidation: checksum,
  })
  const signer = new module.S3Client({
    ...settings,
    requestHandler,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  return {
    module,
    client,
    signer,
    bucket,
    close: () => {
      client.destroy()
      signer.destroy()
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  }
}

/** As a URL, without credentials; undefined for Amazon. */
export function endpointOf(config: S3Config): string | undefined {
  if (config.endpoint === undefined) return undefined
  const parsed = parseEndpoint(config.endpoint)
  // The section has parsed it already; a context made by hand may hold anything.
  if ('expected' in parsed) throw new SluiceError('SLUICE_CONFIG', `s3.endpoint: expected ${parsed.expected}`)
  return endpointUrl(parsed, config.tls)
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Config): object {
  if (accessKeyId === undefined || secretAccessKey === undefined) return {}
  return {
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
  }
}

/**
 * The SDK, loaded on first use and a part at a time.
 *
 * `import('@aws-sdk/client-s3')` runs its modules in one turn of the event loop, in which nothing else is answered. Loaded
 * part by part with turns between, the longest turn is that of the client itself. The parts are named as the client asks for
 * them; one that is not there any more is passed over, and the plain import does the rest.
 */
import { createRequire } from 'node:module'
import type * as Sdk from '@aws-sdk/client-s3'
import type * as Presigner from '@aws-sdk/s3-request-presigner'
import { loadPeer } from '../../../app/peer.ts'

export type S3Module = typeof Sdk
export type PresignerModule = typeof Presigner

/** What the others need comes first. */
const PARTS = [
  'node:crypto',
  'node:https',
  'node:http2',
  '@smithy/core/serde',
  '@smithy/core/config',
  '@smithy/core/endpoints',
  '@smithy/core/protocols',
  '@smithy/core/schema',
  '@smithy/core/checksum',
  '@smithy/core/event-streams',
  '@smithy/core/retry',
  '@smithy/core/client',
  '@smithy/node-http-handler',
  '@aws-sdk/core/client',
  '@aws-sdk/core/httpAuthSchemes',
  '@aws-sdk/checksums/flexible-checksums',
  '@aws-sdk/checksums/sha',
  '@aws-sdk/signature-v4-multi-region',
  '@aws-sdk/middleware-sdk-s3/s3',
  '@aws-sdk/credential-provider-node',
] as const

export async function loadSdk(): Promise<S3Module> {
  await loadParts()
  return loadPeer('@aws-sdk/client-s3', 's3', () => import('@aws-sdk/client-s3'))
}

/** Needed by presigned URLs alone. */
export function loadPresigner(): Promise<PresignerModule> {
  return loadPeer('@aws-sdk/s3-request-presigner', 's3', () => import('@aws-sdk/s3-request-presigner'))
}

/** Never rejects: what is wrong with the package is said by its import. */
async function loadParts(): Promise<void> {
  let requireOfSdk: NodeJS.Require
  try {
    requireOfSdk = createRequire(createRequire(import.meta.url).resolve('@aws-sdk/client-s3'))
  } catch {
    return
  }
  for (const part of PARTS) {
    try {
      requireOfSdk(part)
    } catch {
      // Another version is made of other parts.
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

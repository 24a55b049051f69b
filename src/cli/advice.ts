/** What a person can do about an error that a component gave. */
import { isSluiceError, type ErrorCode } from '../core/errors.ts'

const BY_CODE: Partial<Readonly<Record<ErrorCode, string>>> = {
  SLUICE_UNAVAILABLE: 'Is the server running, and can it be reached from here under this address?',
  SLUICE_TIMEOUT:
    'The server did not answer in time: is it overloaded or frozen, or does a firewall drop packets?',
  SLUICE_AUTH: 'The server is there and refused the credentials: look at user and password.',
  SLUICE_OVERLOADED:
    'The server has no room for another connection: raise its limit, or lower the size of the pools.',
  SLUICE_READ_ONLY: 'The server takes no writes: is it a replica, or in the middle of a failover?',
  SLUICE_MISSING_PEER: 'Install the package that is named above.',
  SLUICE_STORE_LOCKED: 'Another server works on that directory: stop it, or choose another directory.',
  SLUICE_STORE_FULL: 'Make room on the disk.',
}

const BY_SYSTEM_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens at this address: is the server running, and is the port right?',
  ENOTFOUND: 'The name of the host is not known: is it spelled right, and is DNS reachable?',
  EAI_AGAIN: 'The name of the host could not be looked up: is DNS reachable?',
  ENOENT: 'There is no such socket file: is the server running?',
  EACCES: 'This user may not open it: look at the permissions.',
  ETIMEDOUT: 'No answer came: does a firewall drop packets?',
  EHOSTUNREACH: 'There is no way to this host from here.',
  CERT_HAS_EXPIRED: 'The certificate of the server has expired.',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'The certificate of the server is signed by itself: hand its authority to Node.js with NODE_EXTRA_CA_CERTS.',
}

/** The hint of the error, else what its cause in the system suggests, else what its code does. */
export function adviceFor(error: Error): string | undefined {
  if (isSluiceError(error) && error.hint !== undefined) return error.hint
  const system = systemCode(error)
  if (system !== undefined) return BY_SYSTEM_CODE[system]
  return isSluiceError(error) ? BY_CODE[error.code] : undefined
}

/** The first code along the causes that the system gave. */
function systemCode(error: unknown, depth = 5): string | undefined {
  if (!(error instanceof Error) || depth === 0) return undefined
  const code: unknown = 'code' in error ? error.code : undefined
  if (typeof code === 'string' && Object.hasOwn(BY_SYSTEM_CODE, code)) return code
  const parts: readonly unknown[] = error instanceof AggregateError ? error.errors : []
  for (const part of [error.cause, ...parts]) {
    const found = systemCode(part, depth - 1)
    if (found !== undefined) return found
  }
  return undefined
}

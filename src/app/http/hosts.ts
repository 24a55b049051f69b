/**
 * Which host names are answered. A web page can point a name of its own at an address that its reader can reach (DNS
 * rebinding), and then call the service there as if it were its own. So a service that listens on loopback alone answers
 * to this machine's names only, unless it is told otherwise; one that the network reaches is called by names that nobody
 * here knows, and answers to any.
 */
import type { HttpLimits } from './options.ts'
import { hostName, isLoopback } from '../../core/host-name.ts'

/** Is a request with this Host header answered? */
export type HostRule = (host: string | undefined) => boolean

export interface HostRuleOptions {
  /** Those that were listed; undefined where none were. */
  readonly hosts: readonly string[] | 'any' | undefined
  readonly trustProxy: HttpLimits['trustProxy']
  /** Address that it listens on. */
  readonly address: string
}

/** Undefined where any name will do. */
export function hostRule({ hosts, trustProxy, address }: HostRuleOptions): HostRule | undefined {
  if (hosts === 'any') return undefined
  if (hosts !== undefined) {
    const names = new Set(hosts.map(hostName))
    return remembering((host = '') => names.has(hostName(host)))
  }
  // A proxy before it hands on the names that its clients ask for.
  if (trustProxy !== false || !isThisMachine(address.toLowerCase())) return undefined
  // Every browser sends the header.
  return remembering((host) => host === undefined || isThisMachine(hostName(host)))
}

function isThisMachine(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || isLoopback(name)
}

/** Most requests have the header of the one before. */
function remembering(rule: HostRule): HostRule {
  let last: string | undefined
  return (host) => {
    if (last !== undefined && host === last) return true
    if (!rule(host)) return false
    last = host
    return true
  }
}

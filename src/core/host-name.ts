/** Names of hosts as people write them. */

/** A name or IPv4 address, or an IPv6 address with or without brackets; no port, no scheme. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\]|[\da-f]*:[\da-f:.]*:[\da-f:.]*)$/i

export function isHostName(text: string): boolean {
  return HOST.test(text)
}

/** `[::1]:8080`, `127.0.0.1:8080`, `localhost` without port and brackets, in lower case. */
export function hostName(host: string): string {
  return (/^\[([^\]]*)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, '')).toLowerCase()
}

export function isLoopback(address: string): boolean {
  return /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/.test(address) || address === '::1'
}

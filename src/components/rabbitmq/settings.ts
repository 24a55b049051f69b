/** From the configuration to where and how to connect. */
import type { ComponentContext } from '../../app/component.ts'
import { SluiceError } from '../../core/errors.ts'
import { defaultPort, parseHosts, parseUrl, type Target } from './address.ts'
import type { ConnectionSettings } from './connect/connection.ts'
import type { RabbitmqConfig } from './section.ts'

const GUEST = 'guest'

export function connectionSettings(context: ComponentContext<RabbitmqConfig>): ConnectionSettings {
  const { name, config, clock, log } = context
  const target = targetOf(config)
  const { tls } = target
  if (tls && !config.tlsRejectUnauthorized)
    log.warn({ component: name }, `${name}: certificates are not verified (tlsRejectUnauthorized: false)`)
  return {
    component: name,
    addresses: target.addresses,
    tls,
    rejectUnauthorized: config.tlsRejectUnauthorized,
    tlsFiles: { ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey },
    user: config.user ?? target.user ?? GUEST,
    password: config.password ?? target.password ?? GUEST,
    vhost: config.vhost ?? target.vhost ?? '/',
    dialTimeoutMs: config.dialTimeout,
    heartbeatMs: config.heartbeat,
    clock,
  }
}

function targetOf(config: RabbitmqConfig): Target {
  const byUrl = config.url === undefined ? undefined : parseUrl(config.url)
  // The section has parsed it already; a context made by hand may hold anything.
  if (byUrl !== undefined && 'expected' in byUrl)
    throw new SluiceError('SLUICE_CONFIG', `rabbitmq.url: expected ${byUrl.expected}`)
  const tls = config.tls || byUrl?.tls === true
  const port = config.port ?? defaultPort(tls)
  if (byUrl !== undefined && config.host === undefined) return { ...byUrl, tls }
  const addresses = parseHosts(config.host ?? 'localhost', port)
  if ('expected' in addresses)
    throw new SluiceError('SLUICE_CONFIG', `rabbitmq.host: expected ${addresses.expected}`)
  return { ...byUrl, addresses, tls }
}

/** What every client of the driver is made with: brokers, limits, encryption, authentication. */
import { readFile } from 'node:fs/promises'
import { SluiceError } from '../../../core/errors.ts'
import type { Broker } from '../brokers.ts'
import type { KafkaConfig } from '../section.ts'

export interface ClientSettings {
  readonly clientId: string
  readonly bootstrapBrokers: Broker[]
  readonly connectTimeout: number
  readonly requestTimeout: number
  readonly retries: number
  readonly retryDelay: number
  readonly sasl?: {
    mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
    username: string
    password: string
  }
  readonly tls?: { ca?: Buffer; cert?: Buffer; key?: Buffer; rejectUnauthorized: boolean }
  readonly tlsServerName?: boolean
}

/** Between retries of the driver. */
const RETRY_DELAY_MS = 150
/** A broker that restarts refuses for a moment; longer than that is for the callers to know. */
const RETRIES = 3

/** Rejects with SLUICE_CONFIG where a file cannot be read. */
export async function clientSettings(options: {
  readonly component: string
  readonly clientId: string
  readonly brokers: readonly Broker[]
  readonly config: KafkaConfig
}): Promise<ClientSettings> {
  const { component, clientId, brokers, config } = options
  const { securityProtocol: protocol, saslUsername, saslPassword, saslMechanism } = config
  const read = async (setting: 'tlsCa' | 'tlsCert' | 'tlsKey'): Promise<Buffer | undefined> => {
    const path = config[setting]
    if (path === undefined) return undefined
    return readFile(path).catch((cause: unknown) => {
      throw new SluiceError('SLUICE_CONFIG', `kafka.${setting}: cannot read the file`, { cause, component })
    })
  }
  const [ca, cert, key] = await Promise.all([read('tlsCa'), read('tlsCert'), read('tlsKey')])
  const isEncrypted = protocol === 'SSL' || protocol === 'SASL_SSL'
  const isAuthenticated = protocol === 'SASL_PLAINTEXT' || protocol === 'SASL_SSL'
  return {
    clientId,
    bootstrapBrokers: [...brokers],
    connectTimeout: config.dialTimeout,
    requestTimeout: config.requestTimeout,
    retries: RETRIES,
    retryDelay: RETRY_DELAY_MS,
    ...(isAuthenticated
      ? { sasl: { mechanism: saslMechanism, username: saslUsername ?? '', password: saslPassword ?? '' } }
      : {}),
    ...(isEncrypted
      ? {
          tls: {
            rejectUnauthorized: config.tlsRejectUnauthorized,
            ...(ca === undefined ? {} : { ca }),
            ...(cert === undefined ? {} : { cert }),
            ...(key === undefined ? {} : { key }),
          },
          tlsServerName: true,
        }
      : {}),
  }
}

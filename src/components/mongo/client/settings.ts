/** What the driver's client is made with. */
import type { MongoClientOptions } from 'mongodb'
import { readTlsFiles } from '../../../config/tls-files.ts'
import type { MongoConfig } from '../section.ts'

/** Of the app's name, in the handshake: servers show it in their logs, and take 128 bytes. */
const APP_NAME_LENGTH = 100

export interface SettingsInput {
  readonly component: string
  readonly appName: string
  readonly config: MongoConfig
  /** The credentials of the configuration belong to the main server alone. */
  readonly isMain: boolean
}

/** @throws SluiceError SLUICE_UNAVAILABLE when a file of TLS cannot be read. */
export function clientSettings({ component, appName, config, isMain }: SettingsInput): MongoClientOptions {
  const { username, password, tls, tlsCa, tlsCert, tlsKey } = config
  const files = readTlsFiles(component, { ca: tlsCa, cert: tlsCert, key: tlsKey })
  const encrypted = tls ?? (Object.keys(files).length > 0 ? true : undefined)
  return {
    appName: `${appName}-${component}`.slice(0, APP_NAME_LENGTH),
    // A change stream that waits for the next change has a connection all the time.
    maxPoolSize: config.maxPoolSize + config.maxWatches,
    minPoolSize: config.minPoolSize,
    maxIdleTimeMS: config.maxIdleTime,
    connectTimeoutMS: config.dialTimeout,
    serverSelectionTimeoutMS: config.selectionTimeout,
    heartbeatFrequencyMS: config.heartbeat,
    waitQueueTimeoutMS: config.requestTimeout,
    // Reads are repeated by `operations`, which knows the deadline and the budget. Writes are repeated by the driver,
    // once, where the server can tell the second from the first.
    retryReads: false,
    monitorCommands: false,
    ...(isMain &&
      username !== undefined && { auth: { username, ...(password !== undefined && { password }) } }),
    ...(encrypted !== undefined && { tls: encrypted }),
    ...files,
    ...(!config.tlsRejectUnauthorized && { tlsAllowInvalidCertificates: true }),
  }
}

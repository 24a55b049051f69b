/** What the app reads from its configuration: options in code become its first source, so that one table decides. */
import type { InspectedApp } from './inspection-hook.ts'
import type { AppOptions } from './options.ts'
import type { Components, UserSchemas } from './service.ts'
import type { appSection, AppValues } from '../config/app-section.ts'
import type { Entry } from '../config/resolve.ts'
import { loadConfig, type Config, type LoadOptions } from '../config/load.ts'

/** Everything resolved, before anything is created. */
export interface Settings {
  readonly app: AppValues
  readonly config: Config
  readonly entries: readonly Entry[]
  /** Why a component is turned off, or undefined. */
  disabledReason(name: string): string | undefined
  serviceEnabled(name: string): boolean
}

export async function loadSettings(load: LoadOptions): Promise<Settings> {
  const config = await loadConfig(load)
  return {
    app: config.app,
    config,
    entries: config.entries,
    disabledReason: (name) =>
      config.components[name]?.enabled === false ? `${name}.enabled is false` : undefined,
    serviceEnabled: (name) => config.services[name] !== false,
  }
}

/** How the configuration of an app is loaded; the command line shows it from the same options. */
export function loadOptions<C extends Components, S extends UserSchemas>(
  options: AppOptions<C, S>,
  services: readonly string[],
): ReturnType<InspectedApp['load']> {
  const { components = {}, config = {}, env = process.env, settings = {}, configFile } = options
  return {
    components,
    services,
    user: settings,
    overrides: { ...config, app: { ...sectionOf(config, 'app'), ...fromOptions(options) } },
    env,
    ...(configFile !== undefined && { file: configFile }),
  }
}

/** Options of createApp that are fields of the section `app` under another name. */
function fromOptions<C extends Components, S extends UserSchemas>(
  options: AppOptions<C, S>,
): Partial<Record<keyof typeof appSection.fields, unknown>> {
  const { http = {}, health = {}, shutdown = {} } = options
  const given: Partial<Record<keyof typeof appSection.fields, unknown>> = {
    port: options.port,
    host: options.host,
    bodyLimit: http.bodyLimit,
    maxJsonDepth: http.maxJsonDepth,
    requestTimeout: http.requestTimeout,
    keepAliveTimeout: http.keepAliveTimeout,
    startupGate: health.maxStartup,
    healthInterval: health.interval,
    healthTimeout: health.timeout,
    drainDelay: shutdown.drainDelay,
    shutdownTimeout: shutdown.budget,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function sectionOf(config: Readonly<Record<string, unknown>>, name: string): object {
  const section = config[name]
  return typeof section === 'object' && section !== null ? section : {}
}

/**
 * The whole configuration of an app: its own section, those of its components, the infrastructure's pools and
 * time limits, which services are on, and sections of the user's own. Every fault is collected before any is told.
 *
 *     app:            { port: 8080 }
 *     redis:          { addr: cache:6379, dial_timeout: 5 }       # every component of this kind
 *     sessions:       { addr: sessions:6379 }                     # the component of this name
 *     infrastructure: { redis: { workers: 20 }, timeouts: { redis: 30s } }
 *     services:       { reports: false }
 *     billing:        { … }                                       # of the user's own
 */
import { appSection, type AppValues } from './app-section.ts'
import { readDocuments } from './documents.ts'
import { foreignVariables, mistypedVariables, type Environment } from './environment.ts'
import {
  Book,
  checkTopLevel,
  readComponents,
  readServices,
  readUserSections,
  type ComponentConfig,
  type ConfigurableComponent,
} from './gather.ts'
import { configError, distinct, inLineOrder, type Problem } from './problem.ts'
import { redactMessage, redactSetting } from './redact.ts'
import { resolveSection, type Entry } from './resolve.ts'
import type { StandardSchema } from './user-section.ts'

export type { ComponentConfig, ConfigurableComponent } from './gather.ts'

export interface LoadOptions {
  /** By the name that the app gives them. @default none */
  readonly components?: Readonly<Record<string, ConfigurableComponent>>
  /** Names of the services; others below `services` are faults. @default any name is taken */
  readonly services?: readonly string[]
  /** Sections of the user's own by name, each with its schema. @default none */
  readonly user?: Readonly<Record<string, StandardSchema>>
  /** What code says, in the shape of the file, keys in camelCase: `{ app: { port: 0 } }`. @default nothing */
  readonly overrides?: Readonly<Record<string, unknown>>
  /** @default process.env */
  readonly env?: Environment
  /** Path of the file; false for none. @default SLUICE_CONFIG, else ./sluice.yaml where it exists */
  readonly file?: string | false | undefined
  /** Where relative paths start. @default the working directory */
  readonly cwd?: string
}

export interface Config {
  readonly app: AppValues
  /** By the component's name in the app. */
  readonly components: Readonly<Record<string, ComponentConfig>>
  /** false for a service that was turned off. */
  readonly services: Readonly<Record<string, boolean>>
  /** What the schemas of the user's own sections gave. */
  readonly user: Readonly<Record<string, unknown>>
  /** Every value with its source, safe to print. */
  readonly entries: readonly Entry[]
  /** Passwords and other secrets of the configuration, for a redactor. Never show them. */
  readonly secrets: readonly string[]
  /** What is odd and no fault, one line each. */
  readonly warnings: readonly string[]
  /** The file that was read. */
  readonly file: string | undefined
}

/** A configuration with what is wrong with it; with problems, values fall back to defaults. */
export interface ConfigReading extends Config {
  readonly problems: readonly Problem[]
}

/** The field that says where a component's server is, by kind. */
const ADDRESS_FIELDS: Readonly<Record<string, string>> = { postgres: 'dsn', redis: 'addr' }

/** The configuration. @throws SLUICE_CONFIG with every fault in `details.problems` */
export async function loadConfig(options: LoadOptions = {}): Promise<Config> {
  const { problems, ...config } = await readConfig(options)
  if (problems.length > 0) throw configError(problems)
  return config
}

/** As loadConfig, but with the problems beside what could be read. Never rejects. */
export async function readConfig(options: LoadOptions = {}): Promise<ConfigReading> {
  const env = options.env ?? process.env
  const overrides = options.overrides ?? {}
  const schemas = options.user ?? {}
  const documents = await readDocuments({
    overrides,
    env,
    file: options.file,
    cwd: options.cwd ?? process.cwd(),
  })
  const book = new Book()
  book.problems.push(...documents.problems)
  checkTopLevel(options.components ?? {}, Object.keys(schemas), documents, book)
  const layers = documents.below('app')
  const app = book.add(
    appSection,
    resolveSection({ section: appSection, path: 'app', layers, env }),
  ) as AppValues
  const components = readComponents(options.components ?? {}, documents, env, book)
  const services = readServices(options.services, documents, book)
  const user = await readUserSections(schemas, documents, env, book)
  book.warnings.push(...mistypedVariables(env, book.variables))
  const unaddressed = Object.entries(options.components ?? {}).filter(([name, { kind }]) => {
    const config = components[name]
    return config?.enabled === true && config.values[ADDRESS_FIELDS[kind] ?? ''] === undefined
  })
  book.warnings.push(...foreignVariables(env, new Set(unaddressed.map(([, { kind }]) => kind))))
  return {
    app,
    components,
    services,
    user,
    entries: book.entries.map((entry) => ({ ...entry, shown: redactSetting(entry.shown) })),
    secrets: book.secrets,
    warnings: book.warnings,
    file: documents.file,
    problems: inLineOrder(distinct(book.problems)).map((problem) => printable(problem, book.secrets)),
  }
}

/** Whatever kind of field it is about: what was written there may be anything, and a schema's message may quote it. */
function printable(problem: Problem, secrets: readonly string[]): Problem {
  const { expected, sentence, got } = problem
  return {
    ...problem,
    expected: sentence === true ? redactMessage(expected, secrets) : expected,
    ...(got === undefined ? {} : { got: redactSetting(got) }),
  }
}

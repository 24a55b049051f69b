/** `sluice doctor [file]`: connects to each component and says what is wrong and what to do. */
import { connectOrder } from '../app/graph.ts'
import { isOptional, resolveRequirements } from '../app/requirements.ts'
import { redactSetting } from '../config/redact.ts'
import { formatDuration } from '../core/duration.ts'
import { isSluiceError, toError } from '../core/errors.ts'
import { createRedactor, type Redactor } from '../telemetry/redact.ts'
import { adviceFor } from './advice.ts'
import { CONFIG_OPTION, JSON_OPTION, type Command, type Invocation, type Terminal } from './command.ts'
import { printFindings } from './config.ts'
import { probeTables } from './durable/probe-tables.ts'
import { EXIT } from './exit-codes.ts'
import { probe } from './probe.ts'
import { readSubject, type Subject } from './subject.ts'

export const doctorCommand: Command = {
  name: 'doctor',
  parameters: '[file]',
  summary: 'connect to each component; say what is wrong and what to do',
  detail:
    'With a program, connects to each component of its app; the app itself is not started. Without one, connects to each\n' +
    'component that the environment or the file configures. An embedded server is started for it, and stopped.',
  options: [CONFIG_OPTION, JSON_OPTION],
  fileRequired: false,
  passesRest: false,
  exits: {
    [EXIT.ok]: 'every component works',
    [EXIT.failure]: 'a component does not work, or the program failed while it was imported',
    [EXIT.usage]: 'command not understood, or no such file',
    [EXIT.config]: 'the configuration is wrong; nothing was connected',
  },
  run,
}

type State = 'ok' | 'failed' | 'disabled' | 'skipped'

export interface Finding {
  readonly name: string
  readonly kind: string
  readonly state: State
  /** Address, without credentials; null for one that needs none. */
  readonly address: string | null
  /** Is it what the component runs by itself where no address is given? */
  readonly embedded: boolean
  readonly version: string | null
  readonly connectMs: number | null
  readonly latencyMs: number | null
  readonly code: string | null
  readonly error: string | null
  /** What to do. */
  readonly advice: string | null
}

async function run(invocation: Invocation, terminal: Terminal): Promise<number> {
  const subject = await readSubject(invocation, terminal)
  const { config } = subject
  const faulty = config.problems.length > 0
  const findings = faulty ? [] : await examine(subject)
  const ok = !faulty && findings.every((finding) => finding.state === 'ok' || finding.state === 'disabled')
  if (invocation.json) {
    const { problems, warnings } = config
    const report = {
      ok,
      app: subject.app ?? null,
      node: process.versions.node,
      components: findings,
      warnings,
      problems,
    }
    terminal.out(JSON.stringify(report, undefined, 2))
  } else {
    printFindings(config, terminal)
    if (!faulty) print(subject.app, findings, terminal)
  }
  if (faulty) return EXIT.config
  return ok ? EXIT.ok : EXIT.failure
}

/** Components that depend on others come after them, and are left out where one of those failed. */
async function examine(given: Subject): Promise<readonly Finding[]> {
  const { config } = given
  const components = resolveRequirements(given.components)
  const subject = { ...given, components }
  const redactor = createRedactor(config.secrets)
  const findings = new Map<string, Finding>()
  const needs = new Map(Object.entries(components).map(([name, definition]) => [name, definition.dependsOn]))
  for (const name of connectOrder(needs)) {
    // Without a program, a component that nobody configured is not in use.
    if (subject.app === undefined && config.components[name]?.configured !== true) continue
    const failed = needs
      .get(name)
      ?.filter((need) => !isOptional(components[name]!, components[need]!))
      .find((need) => findings.get(need)?.state !== 'ok')
    findings.set(name, await examineOne(subject, name, failed, redactor))
  }
  return [...findings.values()]
}

async function examineOne(
  subject: Subject,
  name: string,
  failedNeed: string | undefined,
  redactor: Redactor,
): Promise<Finding> {
  const definition = subject.components[name]!
  const config = subject.config.components[name]!
  const finding = (state: State, more: Partial<Finding> = {}): Finding => ({
    name,
    kind: definition.kind,
    state,
    ...placeOf(subject, name),
    version: null,
    connectMs: null,
    latencyMs: null,
    code: null,
    error: null,
    advice: null,
    ...more,
  })
  if (!config.enabled) return finding('disabled')
  if (failedNeed !== undefined)
    return finding('skipped', { error: `needs ${failedNeed}, which does not work` })
  try {
    const app = subject.app ?? 'sluice'
    const database = databaseOf(subject, name)
    const { connectMs, latencyMs, version } =
      database === undefined
        ? await probe(name, definition, config, app)
        : await probeTables(
            [database, subject.components[database]!, subject.config.components[database]!],
            app,
          )
    return finding('ok', {
      connectMs,
      latencyMs,
      version: version === undefined ? null : redactor.text(version),
    })
  } catch (thrown) {
    const error = toError(thrown)
    const code = isSluiceError(error) ? error.code : null
    const advice = adviceFor(error)
    return finding('failed', {
      code,
      error: redactor.text(error.message),
      advice: advice === undefined ? null : redactor.text(advice),
    })
  }
}

/** The database that it lives in, where it lives in one that is turned on. */
function databaseOf({ components, config }: Subject, name: string): string | undefined {
  const definition = components[name]
  if (definition?.requires?.some(({ kind }) => kind === 'postgres') !== true) return undefined
  return definition.dependsOn.find(
    (need) => components[need]?.kind === 'postgres' && config.components[need]?.enabled === true,
  )
}

/** Where it leads: the first connection string of the section, as the configuration shows it. */
function placeOf(subject: Subject, name: string): Pick<Finding, 'address' | 'embedded'> {
  const fields = subject.components[name]?.section.fields ?? {}
  const found = Object.entries(fields).find(([, field]) => field.secrecy === 'url')
  if (found === undefined) return { address: null, embedded: false }
  const [key, field] = found
  const value = subject.config.components[name]?.values[key]
  return value === undefined
    ? { address: null, embedded: true }
    : { address: redactSetting(field.show(value)), embedded: false }
}

/** What a component runs where it has no address. */
const WITHOUT_ADDRESS: Readonly<Record<string, string>> = { redis: 'in memory' }

function print(app: string | undefined, findings: readonly Finding[], terminal: Terminal): void {
  if (findings.length === 0) {
    terminal.out('Nothing is configured, so there is nothing to connect to.')
    if (app === undefined) terminal.out('Try: sluice doctor main.ts')
  }
  for (const finding of findings) {
    const { name, kind, state, version, connectMs, latencyMs, address } = finding
    const facts = [
      version,
      address ?? (finding.embedded ? (WITHOUT_ADDRESS[kind] ?? 'embedded') : null),
      connectMs === null ? null : `connected in ${formatDuration(connectMs)}`,
      latencyMs === null ? null : `answers in ${latencyMs} ms`,
    ].filter((fact) => fact !== null)
    terminal.out(
      [`${state.padEnd(8)} ${name}`, kind === name ? '' : `(${kind})`, facts.join(', ')]
        .filter(Boolean)
        .join('  '),
    )
    if (finding.error !== null) {
      terminal.out(`         ${finding.code === null ? '' : `${finding.code}: `}${finding.error}`)
    }
    if (finding.advice !== null) terminal.out(`         ${finding.advice}`)
  }
}

/** What the runner knows of a server that it can start. A recipe is data and two functions; `recipes.ts` lists them. */

export interface Artifact {
  /** Maven coordinates, `group:artifact:version[:packaging[:classifier]]`. */
  readonly coordinates: string
  /** `classpath`: the jar and all that it needs, copied side by side. `unpack`: the content of the one archive. */
  readonly as: 'classpath' | 'unpack'
}

export interface Placement {
  readonly host: string
  readonly ports: Readonly<Record<string, number>>
  /** An empty directory for data and files of configuration. */
  readonly directory: string
  /** Where the artifacts are. */
  readonly jars: string
  /** Most megabytes of heap. */
  readonly heapMb: number
  /** For a short life: quick to start, and slower at its work. */
  readonly quick: boolean
  /** What only some callers set, such as listeners of a broker. */
  readonly settings: Readonly<Record<string, string>>
}

export interface Command {
  readonly program: string
  readonly args: readonly string[]
}

export interface Recipe {
  readonly name: string
  /** What it is, for the line that `start` prints. */
  readonly title: string
  readonly artifacts: readonly Artifact[]
  /** Every port that it listens on; the first of them is `port`. */
  readonly ports: Readonly<Record<string, number>>
  readonly heapMb: number
  /** Commands that run to their end before the server, such as the format of a data directory. */
  readonly prepare: (placement: Placement) => Promise<readonly Command[]>
  readonly command: (placement: Placement) => Command
  /** Resolves with what the server said when it answers in its own protocol, and rejects when it does not. */
  readonly probe: (host: string, port: number, signal: AbortSignal) => Promise<string>
  /** How a program reaches it. */
  readonly address: (host: string, port: number) => string
}

/** Flags that keep a JVM of a test server small: one collector thread, small stacks. One that is full ends: left alone it stands still. */
export function jvm(heapMb: number, classpath: string, quick = false): readonly string[] {
  return [
    ...(quick ? ['-XX:TieredStopAtLevel=1'] : []),
    `-Xmx${heapMb}m`,
    '-XX:+ExitOnOutOfMemoryError',
    '-Xss512k',
    '-XX:+UseSerialGC',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
    '-cp',
    classpath,
  ]
}

/** What the run tells its programs, by environment variables. */

function required(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set: this program is started by \`npm run chaos\``)
  return value
}

export const setting = {
  /** The database under test. So few connections that two runs beside each other fit into a server's hundred. */
  database: { dsn: required('CHAOS_DSN'), maxOpenConns: 4 },
  /** File of facts. */
  file: required('CHAOS_FILE'),
} as const

/** A number from 0 to 99 that is the same for an id in every process. */
export function chance(id: string): number {
  let hash = 2_166_136_261
  for (const char of id) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 16_777_619) >>> 0
  return hash % 100
}

/**
 * What runs on a data directory.
 *
 * The file postmaster.pid there says: 1 process id, 2 data directory, 3 start time, 4 port, 5 socket directory,
 * 6 address, 7 shared memory, 8 status ("starting", "ready", "stopping", "standby"). It is a claim that is checked
 * against the process itself, as the file outlives a killed server and its number may have been given to another
 * program.
 */
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { postgresProcess, postgresProcessesOn, type PostgresProcess } from './process-facts.ts'

export type Postmaster =
  | { readonly state: 'none' }
  /** The server is gone and left postmaster.pid, and perhaps children that have not noticed yet. */
  | { readonly state: 'stale'; readonly orphans: readonly number[] }
  | {
      /** 'lost': alive, but postmaster.pid does not name it. */
      readonly state: 'starting' | 'ready' | 'stopping' | 'lost'
      readonly pid: number
      /** Started by sluice. */
      readonly ours: boolean
    }

/** The setting by which a server says that sluice started it; a name with a dot is free for anyone in PostgreSQL. */
export const OWNER_SETTING = 'sluice.embedded'

/** `thorough` also looks for servers whose postmaster.pid is missing. */
export async function findPostmaster(dataDir: string, thorough = false): Promise<Postmaster> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'latin1').catch(() => undefined)
  if (text === undefined && !thorough) return { state: 'none' }
  const lines = (text ?? '').split('\n')
  // A stand-alone backend (postgres --single) writes its id as a negative number.
  const named = await postgresProcess(Math.abs(Number.parseInt(lines[0] ?? '', 10)), dataDir)
  if (named?.isServer === true) {
    const status = (lines[7] ?? '').trim()
    const state = status === 'ready' || status === 'stopping' ? status : 'starting'
    return { state, pid: named.pid, ours: isOurs(named) }
  }
  const others = await postgresProcessesOn(dataDir)
  const server = others.find(({ isServer }) => isServer)
  if (server !== undefined) return { state: 'lost', pid: server.pid, ours: isOurs(server) }
  if (text === undefined && others.length === 0) return { state: 'none' }
  return { state: 'stale', orphans: others.map(({ pid }) => pid) }
}

/** Does a server accept connections on this socket? The kernel's word, whatever the files say. */
export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // Anything else, such as a full queue, comes from a server that is there and busy, or frozen.
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(!['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ENOTDIR'].includes(error.code ?? '')),
    )
  })
}

function isOurs({ command }: PostgresProcess): boolean {
  return command.includes(` ${OWNER_SETTING}=`)
}

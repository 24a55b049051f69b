/** Turns what PostgreSQL said before it gave up into an error with a code and a remedy. */
import { open } from 'node:fs/promises'
import { SluiceError, type ErrorCode } from '../../../core/errors.ts'
import type { Home } from './home.ts'

const QUOTED_LINES = 6

interface Diagnosis {
  readonly code: ErrorCode
  readonly pattern: RegExp
  readonly what: string
  readonly hint: string
}

const DIAGNOSES: readonly Diagnosis[] = [
  {
    code: 'SLUICE_STORE_FULL',
    pattern: /No space left on device|Disk quota exceeded/i,
    what: 'the disk is full',
    hint: 'Free space on the disk of the data directory; the next attempt continues by itself.',
  },
  {
    code: 'SLUICE_STORE_CORRUPT',
    pattern:
      /could not locate a valid checkpoint record|invalid (primary )?checkpoint record|incorrect checksum in control file|calculated CRC checksum does not match|database files are incompatible|invalid page in block|could not (open|read|access) file "(?:global|base|pg_wal|pg_xact|pg_multixact|backup_label)|is not a valid data directory|invalid data in file|is corrupt|could not find redo location|could not find the database system|required WAL directory|control file contains invalid/i,
    what: 'the database has damaged files',
    hint: 'Nothing was changed. Copy the directory before anything else; then restore a backup, or move it away to start empty.',
  },
]

/** `output` is the end of what the program wrote. */
export function startFailure(what: string, output: string, home: Home, cause?: unknown): SluiceError {
  const found = DIAGNOSES.find(({ pattern }) => pattern.test(output))
  const said = output.trim().split('\n').slice(-QUOTED_LINES).join('\n')
  return new SluiceError(
    found?.code ?? 'SLUICE_STORE_FAILED',
    `${what} in ${home.directory}${found === undefined ? '' : `: ${found.what}`}${said === '' ? '' : `\n${said}`}`,
    {
      cause,
      retryable: found?.code === 'SLUICE_STORE_FULL',
      hint: found?.hint ?? `Its log is ${home.log}.`,
      details: { dataDir: home.directory },
    },
  )
}

/** What was appended to the log since it had `from` bytes, at most the last 8 KB. */
export async function logSince(path: string, from: number): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined)
  if (file === undefined) return ''
  try {
    const { size } = await file.stat()
    const start = Math.max(from, size - 8_192)
    if (start >= size) return ''
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

/**
 * Looks for damage in the log before PostgreSQL recovers from a crash.
 *
 * PostgreSQL reads its log up to the first record that is not valid and takes that for the end. For a log that was cut
 * off by a crash this is right. For one with a flipped bit or a missing piece it is silent loss of everything after,
 * and it writes over the rest. The difference shows in what comes behind the invalid record: after a crash nothing,
 * after damage the log goes on. This reads the same records first, and says where the log is broken.
 *
 * After `kill -9` the pages behind the last complete record were never written, as PostgreSQL writes a page only when
 * all records before its end are complete; the rest of the last page may hold later records beside one that is still
 * partly zero. After a power failure pages may be written out of order, which looks the same as damage: hence the way
 * past this check (acquire.ts). Damage to the very last record cannot be told from a crash.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { createCrc32c } from './crc32c.ts'
import { PAGE, Wal } from './wal.ts'

const SHUT_DOWN: ReadonlySet<number> = new Set([1, 2])
const YIELD_EVERY = 1_048_576
/** Pages of an invalid record that are searched for the record behind it. */
const SEARCHED_PAGES = 16

/** The address where the log is broken, such as '0/1A2B3C8'; undefined when all is well or there is nothing to recover. */
export async function findWalDamage(dataDir: string, signal: AbortSignal): Promise<string | undefined> {
  const control = await readFile(join(dataDir, 'global', 'pg_control')).catch(() => undefined)
  // A control file or a directory of the log that cannot be read is PostgreSQL's to judge.
  if (control === undefined || control.length < 52 || SHUT_DOWN.has(control.readUInt32LE(16)))
    return undefined
  const redo = Number(control.readBigUInt64LE(40))
  const wal = await Wal.open(dataDir, control.readUInt32LE(48), createCrc32c()).catch(() => undefined)
  if (wal === undefined) return undefined
  const truncated = wal.truncatedFrom(redo)
  if (truncated !== undefined) return format(truncated)
  const { last, end } = await walk(wal, redo, signal)
  const damaged = (await recordBehind(wal, last, end)) || (await pageBehind(wal, last, end))
  return damaged ? format(last) : undefined
}

/** Follows the records from `start` to the first one that is not valid. */
async function walk(
  wal: Wal,
  start: number,
  signal: AbortSignal,
): Promise<{ readonly last: number; readonly end: number | undefined }> {
  let previous: number | undefined
  let yielded = start
  for (let at = start; ;) {
    if (at - yielded > YIELD_EVERY) {
      yielded = at
      // A checksum of a megabyte takes a few milliseconds of the event loop.
      await setImmediate()
      signal.throwIfAborted()
    }
    const read = await wal.record(at)
    if (read.kind === 'invalid') return { last: at, end: read.end }
    if (read.kind === 'abandoned') {
      previous = undefined
      at = read.next
      continue
    }
    // A valid record that does not follow the one before is left from an earlier use of the file.
    if (previous !== undefined && read.previous !== previous) return { last: at, end: undefined }
    const page = at % PAGE === 0 ? await wal.page(at) : undefined
    previous = at + (page?.headerBytes ?? 0)
    at = read.next
  }
}

/** Is there a valid page behind that is not just the rest of the invalid record? */
async function pageBehind(wal: Wal, last: number, end: number | undefined): Promise<boolean> {
  let remaining = end
  for (let address = last - (last % PAGE) + PAGE; address < wal.end; address += PAGE) {
    const page = await wal.page(address)
    if (page === undefined) {
      remaining = undefined
      continue
    }
    const rest = remaining === undefined ? 0 : restOn(wal, address, remaining)
    if (rest <= 0 || page.continues !== rest) return true
  }
  return false
}

/** Bytes of a record that ends at `end` which lie on the page at `address` and behind, without page headers. */
function restOn(wal: Wal, address: number, end: number): number {
  let rest = 0
  for (let page = address; page < end; page += PAGE) {
    const header = page % wal.segmentBytes === 0 ? 40 : 24
    rest += Math.min(end, page + PAGE) - page - header
  }
  return rest
}

/** Is there a valid record that names the invalid one as its predecessor, with the last bytes between them written? */
async function recordBehind(wal: Wal, last: number, end: number | undefined): Promise<boolean> {
  const first = last - (last % PAGE)
  const until = Math.min(end ?? last, first + SEARCHED_PAGES * PAGE)
  for (let address = first; address <= until; address += PAGE) {
    const page = await wal.page(address)
    if (page === undefined) return false
    const from = Math.max(last + 24, address + page.headerBytes)
    for (let at = from; at < address + PAGE - 16; at += 8) {
      if (Number(page.bytes.readBigUInt64LE((at % PAGE) + 8)) !== last) continue
      if ((await wal.record(at)).kind !== 'record') continue
      const before = page.bytes.subarray(Math.max(page.headerBytes, (at % PAGE) - 16), at % PAGE)
      // All zero: the record was reserved and not yet copied when the process was killed.
      if (before.length === 0 || before.some((byte) => byte !== 0)) return true
    }
  }
  return false
}

/** As PostgreSQL writes addresses. */
function format(address: number): string {
  const hex = (value: number): string => value.toString(16).toUpperCase()
  return `${hex(Math.floor(address / 2 ** 32))}/${hex(address % 2 ** 32)}`
}

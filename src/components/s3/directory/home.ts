/** Opens the directory: made where it is missing, ours alone, with a key for signatures. */
import { randomBytes } from 'node:crypto'
import {
  chmod,
  link,
  lstat,
  mkdir,
  open,
  readFile,
  realpath,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import { codeOf } from './failure.ts'

export interface Home {
  /** Without a link in it. */
  readonly root: string
  readonly objects: string
}

const KEY_BYTES = 32

export async function openHome(component: string, given: string | undefined, appName: string): Promise<Home> {
  const wanted = resolve(given ?? join('.sluice', safeName(appName), 's3'))
  if (given === undefined) {
    await mkdir('.sluice', { recursive: true })
    await writeFile(join('.sluice', '.gitignore'), '*\n', { flag: 'wx' }).catch(() => {})
  }
  await mkdir(wanted, { recursive: true, mode: 0o700 })
  const root = await realpath(wanted)
  await refuseForeign(component, root)
  const objects = join(root, 'objects')
  await mkdir(objects, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
  if (!(await lstat(objects)).isDirectory())
    throw new SluiceError('SLUICE_STORE_FAILED', `${component}: ${objects} is not a directory`)
  return { root, objects }
}

/** The same for all processes that share the directory, and after a restart. */
export async function signingKey(root: string): Promise<Buffer> {
  const path = join(root, 'signing.key')
  try {
    return await readKey(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(randomBytes(KEY_BYTES).toString('hex'))
    await handle.datasync()
  } finally {
    await handle.close()
  }
  try {
    // Whoever comes first: a rename would take the key from under the other.
    await link(draft, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  return readKey(path)
}

async function readKey(path: string): Promise<Buffer> {
  const key = Buffer.from(await readFile(path, 'utf8'), 'hex')
  if (key.length === KEY_BYTES) return key
  throw new SluiceError('SLUICE_STORE_CORRUPT', `${path} is not a key`, {
    hint: 'Delete it; URLs that were signed with it do not work any more.',
  })
}

/** A directory of somebody else would lead our data into their hands. Root may use anybody's. */
async function refuseForeign(component: string, root: string): Promise<void> {
  const own = process.getuid?.()
  const { uid, mode } = await stat(root)
  if (own !== undefined && own !== 0 && uid !== own)
    throw new SluiceError(
      'SLUICE_STORE_FAILED',
      `${component}: ${root} belongs to another user (uid ${uid})`,
      {
        hint: `Run: chown -R ${own} ${root}, or choose another directory with S3_DIRECTORY.`,
      },
    )
  if ((mode & 0o077) !== 0 && process.platform !== 'win32') await chmod(root, 0o700)
}

function safeName(appName: string): string {
  return appName.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'app'
}

/** How the embedded server is set up: what must hold, on its command line, and defaults that its owner may change. */
import { OWNER_SETTING } from './postmaster.ts'

/** For data that may be lost: a database is created in 10 ms and dropped in 4, instead of 110 and 20. */
const THROWAWAY = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
} as const

/** On the command line, so that no file and no ALTER SYSTEM can undo it. */
export function fixedSettings(appName: string, durable: boolean): readonly string[] {
  const settings: Record<string, string> = {
    listen_addresses: '',
    // Relative to the data directory, so that a long path cannot exceed the 107 bytes of a socket's address.
    unix_socket_directories: '.',
    unix_socket_permissions: '0700',
    // In files of the data directory: a killed server leaves none of it in /dev/shm, which is small in containers.
    dynamic_shared_memory_type: 'mmap',
    fsync: 'on',
    full_page_writes: 'on',
    // The server's own words only: statements and their errors go to the client, and may hold personal data.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    log_autovacuum_min_duration: '-1',
    [OWNER_SETTING]: appName.replace(/[^\w.-]+/g, '-'),
  }
  if (!durable) Object.assign(settings, THROWAWAY)
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

/** Appended to postgresql.conf when the database is made. Small, for many services on one developer's machine. */
export function defaultSettings(major: number): string {
  const lines = [
    '',
    '# Defaults of sluice for development; change them as you like.',
    'max_connections = 100',
    'shared_buffers = 32MB',
    'max_wal_size = 256MB',
    'jit = off',
    'huge_pages = off',
    "timezone = 'UTC'",
    "log_timezone = 'UTC'",
  ]
  // Three I/O processes less; nothing here reads faster than the page cache.
  if (major >= 18) lines.push('io_method = sync')
  return `${lines.join('\n')}\n`
}

export function initdbArguments(major: number): readonly string[] {
  const locale =
    major >= 17
      ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
      : ['--locale=C.UTF-8']
  return [
    '--username=postgres',
    '--encoding=UTF8',
    ...locale,
    // Whoever reaches the socket is in; the directory that holds it is 0700. There is no TCP port.
    '--auth-local=trust',
    '--auth-host=reject',
    '--data-checksums',
    // 4 MB segments: a fresh directory takes 27 MB instead of 39.
    '--wal-segsize=4',
    '--no-instructions',
    // As in fixedSettings, for the servers that initdb runs: it may be killed, or its directory removed under it.
    ...(major >= 16 ? ['-c', 'dynamic_shared_memory_type=mmap'] : []),
  ]
}

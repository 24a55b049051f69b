/** Options in code, checked where they are given. */
import { invalidArgument } from '../core/errors.ts'
import { parseSize as bytesOf } from '../config/size.ts'

/** Bytes of a size such as `'1mb'`. @throws SLUICE_INVALID_ARGUMENT that names the option */
export function parseSize(value: number | string, option: string): number {
  const bytes = bytesOf(value)
  if (bytes === undefined || bytes < 1) throw invalidArgument(option, "a size such as '1mb'", value)
  return bytes
}

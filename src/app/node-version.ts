/** The Node.js that runs this, said before something that it lacks fails without telling why. */
import { SluiceError } from '../core/errors.ts'

const OLDEST = 24

/** Throws SLUICE_UNSUPPORTED for a Node.js that is too old. `version`: such as `24.1.0`. */
export function checkNodeVersion(version: string = process.versions.node): void {
  if (Number.parseInt(version, 10) >= OLDEST) return
  throw new SluiceError('SLUICE_UNSUPPORTED', `sluice needs Node.js ${OLDEST} or later; this is ${version}`, {
    hint: `Bring one into the project with: npm install node@${OLDEST}. Then: npx node <file>.`,
  })
}

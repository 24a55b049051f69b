/**
 * `npm run example:community` runs the site; `-- --workers 2` with a second process that shares the work.
 * `npm run example:community -- load` makes a town and checks it: see README.md.
 */
import { parseArguments, USAGE } from './arguments.ts'

const options = parseArguments(process.argv.slice(2))
if ('help' in options) {
  process.stdout.write(USAGE)
} else if ('fault' in options) {
  process.stderr.write(`${options.fault}\n\n${USAGE}`)
  process.exitCode = 64
} else if (options.command === 'load') {
  const { load } = await import('./load/main.ts')
  process.exitCode = await load(options)
} else {
  const { serve } = await import('./serve.ts')
  await serve(options)
}

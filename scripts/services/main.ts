/**
 * `npm run services -- start | stop | status [name...]`: servers for a machine without containers. Without a name, all of
 * them. Each listens on 127.0.0.1 and keeps its data in a temporary directory; docs/guides/services.md has the settings.
 */
import { RECIPES } from './recipes.ts'
import { start, status, stop } from './manage.ts'
import type { Recipe } from './service.ts'

const ACTIONS: Readonly<
  Record<string, (recipe: Recipe, say: (text: string) => void) => Promise<boolean | void>>
> = {
  start,
  stop,
  status,
}
const USAGE = `npm run services -- ${Object.keys(ACTIONS).join(' | ')} [${Object.keys(RECIPES).join(' | ')} ...]`

const [verb = '', ...names] = process.argv.slice(2)
const action = ACTIONS[verb]
const unknown = names.filter((name) => !Object.hasOwn(RECIPES, name))
if (action === undefined || unknown.length > 0) {
  console.error(unknown.length > 0 ? `no such service: ${unknown.join(', ')}\n${USAGE}` : USAGE)
  process.exit(2)
}
let failed = false
// At once: they wait for different things.
await Promise.all(
  (names.length > 0 ? names : Object.keys(RECIPES)).map(async (name) => {
    const recipe = RECIPES[name]
    if (recipe === undefined) return
    try {
      if ((await action(recipe, (text) => console.log(`${name}: ${text}`))) === false) failed = true
    } catch (error) {
      console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      failed = true
    }
  }),
)
process.exitCode = failed ? 1 : 0

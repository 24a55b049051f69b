/** Makes its app after the import is over. */
import { setImmediate } from 'node:timers/promises'
import { createApp } from 'sluice'

async function main(): Promise<void> {
  await setImmediate()
  const app = createApp({ name: 'late' })
  await app.start()
}
void main()

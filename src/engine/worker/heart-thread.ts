/** The thread of a worker's heart. It ends when the main thread says so. */
import { parentPort, workerData } from 'node:worker_threads'
import { Heart } from './heart.ts'
import type { HeartData, ToHeart } from './heart-messages.ts'

const port = parentPort
if (port === null) throw new Error('this module runs in a thread')

const heart = new Heart(workerData as HeartData, (message) => port.postMessage(message))
port.on('message', (message: ToHeart) => {
  if (message.kind === 'settings') heart.settings = message.settings
  else void heart.leave()
})
await heart.run()

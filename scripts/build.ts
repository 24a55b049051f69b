/** `npm run build`: compiles src/ to an empty dist/, which is what is published. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { compile } from './compile.ts'

const dist = join(import.meta.dirname, '..', 'dist')

rmSync(dist, { recursive: true, force: true })
await compile(dist)

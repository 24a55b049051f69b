/**
 * From the start of a process to its first 200 on /livez, and the longest time for which its event loop did not turn.
 *
 * sluice has two databases and a cache that refuse every connection; Fastify and NestJS have nothing but the route. All
 * are compiled JavaScript on the same Node.js, without a compile cache. The gap counts from the first line of the
 * program until a second after the answer, so that it includes the drivers, which sluice imports behind the open port.
 */
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { buildStage, serve } from './harness/stage.ts'

const SETTLE_MS = 1_000

export const benchmark: Benchmark = {
  doc: 'process start to first 200 with every component unreachable, beside Fastify and NestJS',
  peers: ['fastify', '@nestjs/core', '@nestjs/platform-fastify'],
  async run({ rounds, note }) {
    note('compiling sluice')
    using stage = await buildStage()
    const programs = {
      sluice: stage.program('sluice.js', 'ours'),
      fastify: stage.program('bare.js', 'ours'),
      nestjs: stage.program('nest.js', 'peers'),
    }
    const gap = stage.program('gap.js', 'ours')
    const starts = Object.entries(programs).map(([name, program]): Subject => {
      return { name, unit: 'ms', measure: () => timeToAnswer(program) }
    })
    const gaps = Object.entries(programs).map(([name, program]): Subject => {
      return { name: `${name}, longest gap`, unit: 'ms', measure: () => longestGap(program, gap) }
    })
    const startRows = await rounds(starts, { rounds: 15, quickRounds: 5 })
    const gapRows = await rounds(gaps, { rounds: 5, quickRounds: 2, warmUp: 0 })
    const gapOf = (name: string): number =>
      gapRows.find((row) => row.subject === `${name}, longest gap`)?.value ?? NaN
    return {
      settings: { components: 3, reachable: 0 },
      rows: [
        ...startRows,
        ...gapRows,
        {
          subject: 'sluice, gap beyond fastify',
          value: Number((gapOf('sluice') - gapOf('fastify')).toFixed(1)),
          unit: 'ms',
        },
      ],
      ratios: {
        start_vs_fastify: ratio(startRows, 'sluice', 'fastify'),
        start_vs_nestjs: ratio(startRows, 'sluice', 'nestjs'),
      },
    }
  },
}

async function timeToAnswer(program: string): Promise<number> {
  const began = performance.now()
  await using served = await serve(program)
  await answer(`${served.url}/livez`)
  return performance.now() - began
}

async function longestGap(program: string, preload: string): Promise<number> {
  await using served = await serve(program, { preload })
  await answer(`${served.url}/livez`)
  await sleep(SETTLE_MS)
  // Awaited here: the process is ended as soon as this function is left.
  return await new Promise<number>((resolve, reject) => {
    void served.exited.then((how) => reject(new Error(`${program} ended with ${how}`)))
    served.child.once('message', (longest) => resolve(Number(longest)))
    served.child.send('tell')
  })
}

function answer(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`${url} answered ${response.statusCode}`))
      })
    }).once('error', reject)
  })
}

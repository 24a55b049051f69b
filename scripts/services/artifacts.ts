/**
 * Brings what a recipe names from Maven Central into a cache directory, once. A copy that was interrupted is never taken
 * for a whole one: it is made under another name, and renamed when it is complete.
 */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { runToEnd } from './process.ts'
import type { Artifact, Recipe } from './service.ts'

const FETCH_LIMIT_MS = 300_000

/** SLUICE_SERVICES_CACHE, else below XDG_CACHE_HOME, else below ~/.cache. */
export function cacheDirectory(): string {
  const { SLUICE_SERVICES_CACHE: own, XDG_CACHE_HOME: xdg } = process.env
  if (own !== undefined && own !== '') return own
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'sluice', 'services')
}

/** Where the artifacts of a recipe are, or `undefined` when they were not brought yet. */
export async function cached(recipe: Recipe): Promise<string | undefined> {
  const place = placeOf(recipe)
  return (await stat(place).catch(() => undefined))?.isDirectory() === true ? place : undefined
}

/** The directory with the artifacts; brings them when they are not there. */
export async function bring(recipe: Recipe, log: (text: string) => void): Promise<string> {
  const there = await cached(recipe)
  if (there !== undefined) return there
  const place = placeOf(recipe)
  await mkdir(cacheDirectory(), { recursive: true })
  const work = await mkdtemp(`${place}.partial-`)
  try {
    log(`bringing ${recipe.artifacts.map(({ coordinates }) => coordinates).join(', ')} into ${place}`)
    const jars = join(work, 'jars')
    await copyClasspath(recipe, work, jars)
    for (const artifact of recipe.artifacts.filter(({ as }) => as === 'unpack')) {
      await maven(work, [
        'dependency:unpack',
        `-Dartifact=${artifact.coordinates}`,
        `-DoutputDirectory=${jars}`,
      ])
    }
    // Another process may have brought the same meanwhile; theirs is as good.
    await rename(jars, place).catch(async (error: unknown) => {
      if ((await cached(recipe)) === undefined) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return place
}

async function copyClasspath(recipe: Recipe, work: string, jars: string): Promise<void> {
  const wanted = recipe.artifacts.filter(({ as }) => as === 'classpath')
  if (wanted.length === 0) return
  await writeFile(join(work, 'pom.xml'), pom(wanted))
  await maven(work, ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${jars}`])
}

function pom(artifacts: readonly Artifact[]): string {
  const dependencies = artifacts.map(({ coordinates }) => {
    const [group, artifact, version] = coordinates.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>sluice</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join('\n')}</dependencies></project>\n`
}

async function maven(directory: string, args: readonly string[]): Promise<void> {
  await runToEnd({ program: 'mvn', args: ['-q', '-B', ...args], directory, limitMs: FETCH_LIMIT_MS })
}

/** A new version, or another set of artifacts, is another directory. */
function placeOf(recipe: Recipe): string {
  const names = recipe.artifacts.map(({ coordinates, as }) => `${as} ${coordinates}`).join('\n')
  const mark = createHash('sha256').update(names).digest('hex').slice(0, 12)
  return join(cacheDirectory(), `${recipe.name}-${mark}`)
}

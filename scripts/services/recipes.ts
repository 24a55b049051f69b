import { kafka } from './kafka.ts'
import { mongo } from './mongo.ts'
import { s3 } from './s3.ts'
import type { Recipe } from './service.ts'

export const RECIPES: Readonly<Record<string, Recipe>> = { kafka, s3, mongo }

import { transportConformance } from './conformance/suite.ts'

await transportConformance('log')

#!/usr/bin/env node
// The entry of the command `sluice`. It must be understood by a Node.js that is too old for everything else, so that it
// can say so: no syntax and no import here that Node.js 14 lacks.
const major = Number(process.versions.node.split('.')[0])

if (major < 24) {
  process.stderr.write(
    'sluice needs Node.js 24 or later, and this is ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ').\nBring a newer one into the project with:\n\n  npm install node@24\n\n' +
      '(or, where that is done already: npm rebuild node --ignore-scripts=false)\n' +
      'and call the command through npm, which finds it there: npx sluice --version\n',
  )
  process.exitCode = 71
} else {
  import('./cli.ts').then(
    (cli) => cli.main(),
    (error) => {
      process.stderr.write(String(error && error.stack) + '\n')
      process.exitCode = 1
    },
  )
}

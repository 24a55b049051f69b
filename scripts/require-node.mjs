// Preloaded (`node --import`) by every script of package.json. Plain old JavaScript on purpose: it must be readable by
// the Node.js that is too old to run the TypeScript behind it.
const NEEDED = 24

const major = Number(process.versions.node.split('.')[0])
if (!(major >= NEEDED)) {
  process.stderr.write(
    [
      `sluice needs Node.js ${NEEDED} or later, and this is ${process.version} (${process.execPath}).`,
      'The development dependency `node` brings the right version, when its install script was allowed to run.',
      'To repair:  npm rebuild node --ignore-scripts=false    (or install Node.js 24 from https://nodejs.org)',
      'Then run the same npm command again.',
      '',
    ].join('\n'),
  )
  process.exit(1)
}

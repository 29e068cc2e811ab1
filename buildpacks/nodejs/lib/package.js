// Answers the questions that bin/compile and bin/release have about a package.json.
//
//   node package.js facts BUILD_DIR    lines of key=value for bash
//   node package.js newest RANGE       the newest version of a JSON list on standard input
//   node package.js fits VERSION RANGE yes, no, invalid or unspecified
//   node package.js release BUILD_DIR  default process types, as JSON
//
// Nothing of the app is executed here: its files are only read.
'use strict'

const crypto = require('crypto')
const fs = require('fs')
const path = require('path')

// npm runs these of the root package during an install. They may depend on any file of the source,
// so an install that has them can't be reused by looking at the lock file.
const INSTALL_HOOKS = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare']

function readJson(file) {
  // A byte order mark is allowed by npm, and not by JSON.parse.
  return JSON.parse(fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, ''))
}

function readPackage(dir) {
  const json = readJson(path.join(dir, 'package.json'))
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw new Error('it does not hold an object')
  }
  const object = (value) => (value && typeof value === 'object' ? value : {})
  return {
    main: json.main,
    packageManager: json.packageManager,
    workspaces: json.workspaces,
    scripts: object(json.scripts),
    engines: object(json.engines),
  }
}

// The semver library that npm itself carries, wherever the distribution put it.
function semver() {
  const npm = process.env.NPM_PATH ? path.dirname(fs.realpathSync(process.env.NPM_PATH)) : '/'
  const places = [path.join(npm, '..', 'node_modules', 'semver'), '/usr/share/nodejs/semver', 'semver']
  for (const place of places) {
    try {
      return require(place)
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error
    }
  }
  throw new Error('the semver library of npm was not found')
}

function satisfies(version, range) {
  if (typeof range !== 'string' || range.trim() === '') return 'unspecified'
  const library = semver()
  if (library.validRange(range) === null) return 'invalid'
  return library.satisfies(version, range) ? 'yes' : 'no'
}

// Whose lock file is whose. Of npm's two the first counts, as npm has it.
const LOCKS = {
  npm: ['npm-shrinkwrap.json', 'package-lock.json'],
  yarn: ['yarn.lock'],
  pnpm: ['pnpm-lock.yaml'],
  bun: ['bun.lock', 'bun.lockb'],
}

function lockFile(dir, manager) {
  return LOCKS[manager].find((name) => fs.existsSync(path.join(dir, name)))
}

function read(dir, name) {
  const file = path.join(dir, name)
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

// The package manager that an app uses, and which version of it: `range` for the registry.
function packageManager(dir, pkg) {
  const found = Object.keys(LOCKS).filter((name) => lockFile(dir, name))
  const [, named, version] = /^(npm|yarn|pnpm)@([^+]+)/.exec(pkg.packageManager || '') || []
  const name = found.length === 1 ? found[0] : named && found.length === 0 ? named : 'npm'
  const locks = found.map((one) => lockFile(dir, one))
  const range = named === name ? version : oneLine(pkg.engines[name]) || lockedRange(dir, name)
  return { name, locks: locks.join(' '), range: oneLine(range) }
}

// What a lock file's format asks of the program that reads it.
function lockedRange(dir, name) {
  if (name === 'yarn') {
    const text = read(dir, 'yarn.lock')
    return text && !text.includes('__metadata:') ? '1.x' : '4.x'
  }
  if (name === 'pnpm') {
    const [, major] = /^lockfileVersion:\s*'?(\d+)/m.exec(read(dir, 'pnpm-lock.yaml')) || []
    return { 5: '7.x', 6: '8.x' }[major] || '10.x'
  }
  return ''
}

// What the lock file says of each package; empty for the old format that says nothing of use here.
function lockedPackages(dir, lock) {
  return Object.values(readJson(path.join(dir, lock)).packages || {}).filter(Boolean)
}

// Whether an install may have brought packages that only development needs.
function hasDevPackages(dir) {
  const lock = lockFile(dir, 'npm')
  const packages = lock ? lockedPackages(dir, lock) : []
  return packages.length === 0 || packages.some((entry) => entry.dev || entry.devOptional)
}

// Whether packages are linked (workspaces, file:): those have a node_modules of their own, outside of
// the root's, and their source is part of the install.
function hasLinks(dir, pkg, manager) {
  if (pkg.workspaces || fs.existsSync(path.join(dir, 'pnpm-workspace.yaml'))) return true
  const lock = lockFile(dir, manager)
  if (manager !== 'npm') return /\b(file|link|portal|workspace):/.test(read(dir, lock))
  const packages = lockedPackages(dir, lock)
  return packages.length === 0 || packages.some((entry) => entry.link)
}

// A name for "the same install", or '' when there is no such thing to be sure of.
function installKey(dir, pkg, manager) {
  const lock = lockFile(dir, manager)
  if (!lock || INSTALL_HOOKS.some((name) => name in pkg.scripts)) return ''
  if (hasLinks(dir, pkg, manager)) return ''
  const hash = crypto.createHash('sha256')
  for (const name of ['package.json', lock, '.npmrc', '.yarnrc', '.yarnrc.yml']) {
    hash.update(`${name}\0${read(dir, name)}\0`)
  }
  hash.update([manager, process.arch, process.env.STACK].join('\0'))
  return hash.digest('hex')
}

// One line, without control characters: it is printed.
function oneLine(value) {
  return String(value ?? '').replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
}

function facts(dir) {
  const pkg = readPackage(dir)
  const script = (name) => (typeof pkg.scripts[name] === 'string' ? 'yes' : 'no')
  const manager = packageManager(dir, pkg)
  const answers = {
    engines_node: oneLine(pkg.engines.node),
    engines_npm: oneLine(pkg.engines.npm),
    node_fits: satisfies(process.versions.node, pkg.engines.node),
    npm_fits: satisfies(process.env.NPM_VERSION, pkg.engines.npm),
    manager: manager.name,
    manager_range: manager.range,
    lock_files: manager.locks,
    install_key: installKey(dir, pkg, manager.name),
    has_dev_packages: hasDevPackages(dir) ? 'yes' : 'no',
    has_prebuild: script('heroku-prebuild'),
    has_postbuild: script('heroku-postbuild'),
    has_build: script('build'),
    has_cleanup: script('heroku-cleanup'),
  }
  for (const [key, value] of Object.entries(answers)) console.log(`${key}=${value}`)
}

function shellQuote(text) {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`
}

function webCommand(dir) {
  const pkg = readPackage(dir)
  const isFile = (name) => fs.existsSync(path.join(dir, name))
  // `npm start` runs server.js when there is no start script.
  // Yarn without node_modules must start its programs itself.
  const start = isFile('.pnp.cjs') ? 'yarn start' : 'npm start'
  if (typeof pkg.scripts.start === 'string' || isFile('server.js')) return start
  if (typeof pkg.main !== 'string') return null
  const candidates = [pkg.main, `${pkg.main}.js`, path.join(pkg.main, 'index.js')]
  const main = candidates.find((name) => isFile(name) && fs.statSync(path.join(dir, name)).isFile())
  return main ? `node ${shellQuote(main)}` : null
}

function release(dir) {
  const web = webCommand(dir)
  console.log(JSON.stringify({ addons: [], default_process_types: web ? { web } : {} }))
}

function newest(range) {
  const versions = [JSON.parse(fs.readFileSync(0, 'utf8'))].flat()
  console.log(semver().maxSatisfying(versions, range) ?? '')
}

const [question, ...rest] = process.argv.slice(2)
try {
  if (question === 'release') release(...rest)
  else if (question === 'newest') newest(...rest)
  else if (question === 'fits') console.log(satisfies(...rest))
  else facts(...rest)
} catch (error) {
  console.error(oneLine(error.message))
  process.exit(1)
}

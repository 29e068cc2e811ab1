// A small app that shows what a dyno gives to its process, and that can be made to misbehave.
'use strict'

const http = require('http')
const express = require('express')
const { WebSocketServer } = require('ws')

const app = express()
app.disable('x-powered-by')

app.get('/', (request, response) => {
  const { DYNO, STACK, WEB_CONCURRENCY, NODE_ENV, GREETING = 'Hello from Hythe' } = process.env
  response.type('text').send(
    [
      `${GREETING}!`,
      '',
      `dyno:            ${DYNO ?? 'none'}`,
      `stack:           ${STACK ?? 'none'}`,
      `node:            ${process.version} (${NODE_ENV ?? 'no NODE_ENV'})`,
      `web concurrency: ${WEB_CONCURRENCY ?? 'unset'}`,
      `request id:      ${request.get('x-request-id') ?? 'none'}`,
      `you are:         ${request.get('x-forwarded-for') ?? request.socket.remoteAddress}`,
      '',
    ].join('\n'),
  )
})

app.get('/health', (request, response) => response.type('text').send('ok\n'))

// The request's headers as the app sees them.
app.get('/headers', (request, response) => response.json(request.headers))

// The value of one variable, byte for byte.
app.get('/env/:name', (request, response) => {
  const { name } = request.params
  if (!Object.hasOwn(process.env, name)) return response.sendStatus(404)
  response.type('application/octet-stream').send(Buffer.from(process.env[name]))
})

// Answers after so many milliseconds.
app.get('/slow', (request, response) => {
  const ms = Math.min(Number(request.query.ms) || 1000, 120_000)
  setTimeout(() => response.type('text').send(`waited ${ms} ms\n`), ms)
})

// Ten lines, one every `ms` milliseconds: they must arrive one by one.
app.get('/stream', (request, response) => {
  const ms = Math.min(Number(request.query.ms) || 200, 10_000)
  let line = 0
  response.type('text')
  response.flushHeaders()
  const timer = setInterval(() => {
    line += 1
    response.write(`line ${line}\n`)
    if (line === 10) response.end()
  }, ms)
  response.on('close', () => clearInterval(timer))
})

// Sends back what it is sent.
app.post('/echo', (request, response) => {
  response.type(request.get('content-type') ?? 'application/octet-stream')
  request.pipe(response)
})

// Ends the process, as an exception that nobody caught would.
app.get('/crash', (request, response) => {
  response.type('text').send('crashing\n')
  response.on('finish', () => setImmediate(() => { throw new Error('crash was asked for') }))
})

const server = http.createServer(app)
// The router keeps connections to dynos for 90 seconds; whoever closes first must not be the app.
server.keepAliveTimeout = 95_000

const sockets = new WebSocketServer({ server, path: '/ws' })
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
})

server.listen(process.env.PORT ?? 5000, () => {
  console.log(`listening on ${server.address().port}`)
})

// A dyno has 30 seconds to finish what it is doing.
process.on('SIGTERM', () => {
  console.log('SIGTERM: finishing')
  for (const socket of sockets.clients) socket.close(1001)
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})

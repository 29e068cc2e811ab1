// What the benchmarks deploy. Answers say which deploy they come from.
const http = require('node:http');
const os = require('node:os');
const { readFileSync } = require('node:fs');

const version = readFileSync(`${__dirname}/version`, 'utf8').trim();
const large = Buffer.alloc(100_000, 'x');

// Where a proxy on this machine reaches the dyno without the router.
function address() {
  const all = Object.values(os.networkInterfaces()).flat();
  const own = all.find((one) => one.family === 'IPv4' && !one.internal);
  return `${own ? own.address : '127.0.0.1'}:${process.env.PORT}`;
}

const answers = {
  '/': () => `version ${version}\n`,
  '/address': address,
  '/large': () => large,
};

const server = http.createServer((request, response) => {
  const answer = answers[request.url.split('?')[0]];
  response.writeHead(answer ? 200 : 404, { 'Content-Type': 'text/plain' });
  response.end(answer ? answer() : 'not found\n');
});
server.keepAliveTimeout = 120_000;

// Ends like a well-behaved web process: the platform sends no request after SIGTERM.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
server.listen(process.env.PORT);

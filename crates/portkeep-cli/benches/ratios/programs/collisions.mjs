// A worker of collisions.py that gets its ports from a package for Node.js, as a test runner's worker does.
//
// usage: collisions.mjs MODULE SECONDS
// Says `ready`, waits for a line, and prints how many starts there were and how many could not bind.

import net from 'node:net';
import process from 'node:process';
import {createInterface} from 'node:readline';
import {setTimeout as sleep} from 'node:timers/promises';

const [module, seconds] = process.argv.slice(2);
const {default: getPort} = await import(module);
// The package chose a port by itself.
process.on('warning', warning => {
	if (warning.name === 'PortkeepWarning') {
		console.error(warning.message);
		process.exit(2);
	}
});

const start = async () => {
	const port = await getPort();
	await sleep(50 + (Math.random() * 200));
	const server = net.createServer();
	try {
		await new Promise((resolve, reject) => {
			server.on('error', reject);
			server.listen(port, resolve);
		});
	} catch (error) {
		if (error.code !== 'EADDRINUSE') {
			throw error;
		}

		return false;
	}

	await sleep(30);
	await new Promise(resolve => {
		server.close(resolve);
	});
	return true;
};

const input = createInterface(process.stdin);
console.log('ready');
await new Promise(resolve => {
	input.once('line', resolve);
});
const end = performance.now() + (Number(seconds) * 1000);
let starts = 0;
let failed = 0;
while (performance.now() < end) {
	starts++;
	if (!await start()) {
		failed++;
	}
}

console.log(`${starts} ${failed}`);
process.exit(0);

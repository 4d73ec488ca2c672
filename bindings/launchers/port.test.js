// A test as of Jest and its like: each worker gets a port, listens there, and so does a child of it.

import {spawnSync} from 'node:child_process';
import {appendFileSync} from 'node:fs';
import net from 'node:net';
import process from 'node:process';
import getPort from 'portkeep';

test('a port of this worker', async () => {
	const port = await getPort();
	const server = net.createServer();
	await new Promise((resolve, reject) => {
		server.on('error', reject).listen(port, resolve);
	});
	await new Promise(resolve => {
		server.close(resolve);
	});
	const listen = `require('node:net').createServer().on('error', () => process.exit(1)).listen(${port}, () => process.exit(0))`;
	expect(spawnSync(process.execPath, ['-e', listen]).status).toBe(0);
	appendFileSync(process.env.PORTS, `${port}\n`);
});

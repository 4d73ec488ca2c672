import assert from 'node:assert/strict';
import {execFile, spawn} from 'node:child_process';
import {once} from 'node:events';
import {access} from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import process from 'node:process';
import {createInterface} from 'node:readline';
import test from 'node:test';
import {promisify} from 'node:util';
import getPort, {clearLockedPorts, portNumbers} from 'portkeep';

// Whether the ports are really reserved here, by the scene that bindings/test sets.
const isReserved = process.env.PORTKEEP_EXPECT !== 'books';

const listen = (port, host) => new Promise((resolve, reject) => {
	const server = net.createServer();
	server.on('error', reject);
	server.listen({port, host}, () => resolve(server));
});

const close = server => new Promise(resolve => {
	server.close(resolve);
});

// In a child: 0, or 1 if it is refused.
const childListens = async port => {
	const code = `require('node:net').createServer().on('error', () => process.exit(1)).listen(${port}, () => process.exit(0))`;
	const [status] = await once(spawn(process.execPath, ['-e', code]), 'exit');
	return status === 0;
};

const exists = async file => {
	try {
		await access(file);
		return true;
	} catch {
		return false;
	}
};

test('ports differ, and this process and its children can bind to them', async () => {
	const ports = await Promise.all(Array.from({length: 20}, () => getPort()));
	assert.equal(new Set(ports).size, 20);
	const server = await listen(ports[0]);
	assert.equal(server.address().port, ports[0]);
	await close(server);
	assert.ok(await childListens(ports[1]));
});

test('another process is refused until this one ends', {timeout: 120_000}, async () => {
	const code = 'import getPort from "portkeep"; console.log(await getPort()); process.stdin.resume()';
	const other = spawn(process.execPath, ['--input-type=module', '-e', code], {
		cwd: import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
		stdio: ['pipe', 'pipe', 'inherit'],
	});
	const [line] = await once(createInterface(other.stdout), 'line');
	const port = Number(line);
	if (isReserved) {
		await assert.rejects(listen(port), {code: 'EADDRINUSE'});
	} else {
		await close(await listen(port));
	}

	other.kill('SIGKILL');
	await once(other, 'exit');
	// `run --serve` holds the port for the next process that asks.
	while (process.env.PORTKEEP_EXPECT !== 'server') {
		try {
			await close(await listen(port)); // eslint-disable-line no-await-in-loop
			break;
		} catch {
			await new Promise(resolve => { // eslint-disable-line no-await-in-loop
				setTimeout(resolve, 10);
			});
		}
	}
});

test('a server that was started ends with its process', {timeout: 120_000}, async () => {
	if (process.env.PORTKEEP_EXPECT === 'server') {
		return;
	}

	const code = 'import getPort from "portkeep"; await getPort(); console.log(process.env.PORTKEEP_SERVER)';
	const {PORTKEEP_SERVER: _, ...env} = process.env;
	const {stdout, stderr} = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
		cwd: path.dirname(new URL(import.meta.url).pathname),
		env,
	});
	assert.match(stdout, /server\n$/, stderr);
	while (await exists(stdout.trim())) { // eslint-disable-line no-await-in-loop
		await new Promise(resolve => { // eslint-disable-line no-await-in-loop
			setTimeout(resolve, 10);
		});
	}
});

test('without the command it warns and gives free ports', async () => {
	const code = 'import getPort from "portkeep"; await getPort(); console.log(await getPort())';
	const {PORTKEEP_SERVER: _, PORTSERVER_ADDRESS: __, ...env} = process.env;
	const {stdout, stderr} = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
		cwd: path.dirname(new URL(import.meta.url).pathname),
		env: {...env, PORTKEEP_COMMAND: '/nowhere/portkeep'},
	});
	assert.match(stdout, /^\d+\n$/);
	assert.equal(stderr.match(/PortkeepWarning: The ports are unprotected: .*not found/g).length, 1);
});

test('preferred ports', async () => {
	const [first, second, third] = [await getPort(), await getPort(), await getPort()];
	clearLockedPorts();
	assert.equal(await getPort({port: first}), first);
	assert.equal(await getPort({port: [first, second]}), second);
	const server = await listen(third, '127.0.0.1');
	const other = await getPort({port: third, host: '127.0.0.1'});
	assert.notEqual(other, third);
	await close(server);
	clearLockedPorts();
	assert.equal(await getPort({port: new Set([third]), host: '127.0.0.1'}), third);
	assert.notEqual(await getPort({port: second, exclude: [second]}), second);
	await assert.rejects(getPort({port: 3000, host: '192.0.2.1'}), {code: 'EADDRNOTAVAIL'});
});

test('wrong arguments', async () => {
	await assert.rejects(getPort({exclude: 5}), TypeError);
	await assert.rejects(getPort({exclude: ['8080']}), TypeError);
	assert.deepEqual([...portNumbers(1024, 1026)], [1024, 1025, 1026]);
	assert.throws(() => portNumbers(1023, 2000), RangeError);
	assert.throws(() => portNumbers(2000, 65_536), RangeError);
	assert.throws(() => portNumbers(2000, 1999), RangeError);
	assert.throws(() => portNumbers('a', 1999), TypeError);
});

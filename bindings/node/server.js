// A client of the port server, by python_portpicker's protocol; and the server, where there is none.

import {spawn} from 'node:child_process';
import {mkdtemp} from 'node:fs/promises';
import net from 'node:net';
import {tmpdir} from 'node:os';
import path from 'node:path';
import process from 'node:process';

export class NoServer extends Error {}

// Standard input ends with this process, however it ends, and so does the server then.
const UNTIL_INPUT_ENDS = '"$@" & server=$!; cat >/dev/null; kill "$server"; wait "$server"; rm -rf "$0"';

const BOOKS = 'only keeps books';

let started;
let isWarned = false;

/** Says once that nothing keeps the ports. */
export function warn(reason) {
	if (!isWarned) {
		isWarned = true;
		process.emitWarning(`The ports are unprotected: ${reason}`, 'PortkeepWarning');
	}
}

/** Asks the server for a port for this process and those that it starts. */
export async function ask() {
	const answer = await request(await address(), `${process.pid}\n`);
	if (!/^\d+\n?$/.test(answer)) {
		throw new Error('The port server has no port for this process');
	}

	return Number.parseInt(answer, 10);
}

async function address() {
	const {PORTKEEP_SERVER: file, PORTSERVER_ADDRESS: other} = process.env;
	for (const place of [file, other].filter(Boolean)) {
		// Node.js up to 20 reaches no abstract addresses, which an @ stands for.
		const local = place.replace(/^@/, '\0');
		try {
			await request(local); // eslint-disable-line no-await-in-loop
			return local;
		} catch {}
	}

	started ??= start();
	return started;
}

/** Connects, writes and reads until the end; without a text, only connects. */
function request(place, text) {
	return new Promise((resolve, reject) => {
		let answer = '';
		const socket = net.connect(place, () => {
			if (text === undefined) {
				socket.destroy();
				resolve(answer);
			} else {
				socket.write(text);
			}
		});
		socket.setEncoding('ascii');
		socket.on('data', data => {
			answer += data;
		});
		socket.on('end', () => resolve(answer));
		socket.on('error', reject);
	});
}

async function start() {
	if (process.platform !== 'linux') {
		throw new NoServer('Portkeep reserves ports on Linux');
	}

	const command = process.env.PORTKEEP_COMMAND || 'portkeep';
	const directory = await mkdtemp(path.join(tmpdir(), 'portkeep-node-'));
	const place = path.join(directory, 'server');
	const server = spawn('/bin/sh', ['-c', UNTIL_INPUT_ENDS, directory, command, 'serve', '--address', place], {
		stdio: ['pipe', 'ignore', 'pipe'],
		detached: true,
	});
	let said = '';
	server.stderr.setEncoding('utf8');
	server.stderr.on('data', text => {
		said += text;
	});
	let hasEnded = false;
	server.on('error', () => {
		hasEnded = true;
	});
	server.on('exit', () => {
		hasEnded = true;
	});
	// The shell waits for input even if the server has ended, so what it says ends this, too.
	// A line may come in pieces.
	while (!hasEnded && (!said.endsWith('\n') || said.includes(BOOKS))) {
		try {
			await request(place); // eslint-disable-line no-await-in-loop
			release(server);
			// For the processes that this one starts.
			process.env.PORTKEEP_SERVER = place;
			if (said.includes(BOOKS)) {
				warn('the port server only keeps books, for the kernel part is not enabled');
			}

			return place;
		} catch {
			await new Promise(resolve => { // eslint-disable-line no-await-in-loop
				setTimeout(resolve, 10);
			});
		}
	}

	server.stdin.end();
	release(server);
	throw new NoServer(said.trim().split('\n')[0] || `${command} cannot be started`);
}

/** Lets this process end while the server runs. */
function release(server) {
	server.unref();
	server.stdin.unref();
	server.stderr.unref();
}

import net from 'node:net';
import os from 'node:os';
import {ask, NoServer, warn} from './server.js';

const MINIMUM = 1024;
const MAXIMUM = 65_535;

// Given out, and perhaps not bound yet.
const locked = new Set();

export default async function getPort(options = {}) {
	const {port, exclude, reserve, ...listen} = options;
	const excluded = excludedPorts(exclude);
	const preferred = typeof port === 'number' ? [port] : (port ?? []);
	for (const number of preferred) {
		if (number !== 0 && !excluded.has(number) && !locked.has(number) && await isFree(number, listen)) { // eslint-disable-line no-await-in-loop
			locked.add(number);
			return number;
		}
	}

	for (;;) {
		const number = await anyPort(listen); // eslint-disable-line no-await-in-loop
		if (!excluded.has(number) && !locked.has(number)) {
			locked.add(number);
			return number;
		}
	}
}

function excludedPorts(exclude = []) {
	if (typeof exclude[Symbol.iterator] !== 'function') {
		throw new TypeError('The `exclude` option must be an iterable.');
	}

	const ports = [...exclude];
	for (const port of ports) {
		if (!Number.isSafeInteger(port)) {
			throw new TypeError(`Each item in the \`exclude\` option must be a port number, which ${port} is not`);
		}
	}

	return new Set(ports);
}

async function anyPort(listen) {
	try {
		return await ask();
	} catch (error) {
		if (!(error instanceof NoServer)) {
			throw error;
		}

		warn(error.message);
		return bind({...listen, port: 0});
	}
}

/** Whether the port can be bound, at `host` or at all addresses of this machine. */
async function isFree(port, listen) {
	const addresses = Object.values(os.networkInterfaces()).flat().map(({address}) => address);
	const hosts = listen.host ? [listen.host] : [undefined, '0.0.0.0', ...addresses];
	for (const host of hosts) {
		try {
			await bind({...listen, host, port}); // eslint-disable-line no-await-in-loop
		} catch (error) {
			if (['EADDRINUSE', 'EACCES'].includes(error.code)) {
				return false;
			}

			// Addresses without a scope, and those that have just gone.
			if (listen.host || !['EADDRNOTAVAIL', 'EINVAL'].includes(error.code)) {
				throw error;
			}
		}
	}

	return true;
}

function bind(options) {
	return new Promise((resolve, reject) => {
		const server = net.createServer();
		server.unref();
		server.on('error', reject);
		server.listen(options, () => {
			const {port} = server.address();
			server.close(() => resolve(port));
		});
	});
}

export function portNumbers(from, to) {
	if (!Number.isInteger(from) || !Number.isInteger(to)) {
		throw new TypeError('`from` and `to` must be integer numbers');
	}

	for (const [name, port] of Object.entries({from, to})) {
		if (port < MINIMUM || port > MAXIMUM) {
			throw new RangeError(`'${name}' must be between ${MINIMUM} and ${MAXIMUM}`);
		}
	}

	if (from > to) {
		throw new RangeError('`to` must be greater than or equal to `from`');
	}

	return (function * () {
		for (let port = from; port <= to; port++) {
			yield port;
		}
	})();
}

export function clearLockedPorts() {
	locked.clear();
}

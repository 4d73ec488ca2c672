// As much of AVA as get-port's suite needs, by Node's own runner. The tests of a file run side by side, as in AVA.

import assert from 'node:assert/strict';
import net from 'node:net';
import {describe, it} from 'node:test';

// AVA ends the process although the suite leaves servers behind.
const {listen} = net.Server.prototype;
net.Server.prototype.listen = function (...options) {
	return listen.apply(this, options).unref();
};

const assertions = {
	is: assert.equal,
	not: assert.notEqual,
	true: value => assert.equal(value, true),
	deepEqual: assert.deepEqual,
	throws: (work, {instanceOf}) => assert.throws(work, instanceOf),
	throwsAsync: promise => assert.rejects(promise),
};

const tests = [];

export default function test(name, work) {
	tests.push([name, work]);
}

// Once the suite has named them all.
setImmediate(() => {
	describe('get-port', {concurrency: true}, () => {
		for (const [name, work] of tests) {
			it(name, () => work(assertions));
		}
	});
});

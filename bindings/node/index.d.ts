import {type ListenOptions} from 'node:net';

export type Options = {
	/** Preferred ports. They are tried in order, as get-port does, and are not reserved. */
	readonly port?: number | Iterable<number>;

	/** Ports that are not returned. */
	readonly exclude?: Iterable<number>;

	/** As of get-port. Ports stay locked here until `clearLockedPorts()` in any case. */
	readonly reserve?: boolean;

	/** The address at which preferred ports are tried; by default all of this machine. */
	readonly host?: string;
} & Omit<ListenOptions, 'port'>;

/**
Returns a port that only this process, and those that it starts, can bind to until it ends.

It comes from the port server of `portkeep run --serve`, or from one that this process starts.
Where the command `portkeep` is not installed, it is a free port, with a warning.

@example
```
import getPort from 'portkeep';

server.listen(await getPort());
```
*/
export default function getPort(options?: Options): Promise<number>;

/** The numbers from `from` to `to`, both between 1024 and 65535. */
export function portNumbers(from: number, to: number): Iterable<number>;

/** Forgets which preferred ports were returned. Ports of the server stay reserved. */
export function clearLockedPorts(): void;

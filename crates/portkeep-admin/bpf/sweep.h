/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ending the persistent reservations of network namespaces that have gone. No
 * hook tells of that. What they hold is in nobody's way but the quota's and the
 * tables', so they are swept when one of these is full.
 */
#ifndef PORTKEEP_SWEEP_H
#define PORTKEEP_SWEEP_H

#include "reservation.h"

static long end_if_namespace_gone(void *map, struct reservation_key *key,
				  struct reservation *reservation, __u32 *ended)
{
	struct port_chunk *chunk;

	if (!(reservation->flags & PERSISTENT))
		return 0;
	chunk = find_chunk(key->netns, key->protocol, key->start / 64);
	if (chunk && is_namespace_gone(key->netns, chunk->net) &&
	    !end_reservation(key->netns, reservation->token, 0))
		*ended += 1;
	return 0;
}

/* How many reservations it ended. */
__verified_alone __u32 sweep(void)
{
	struct counters *counters = the_counters();
	__u32 ended = 0;

	if (counters && counters->persistent)
		bpf_for_each_map_elem(&reservations, end_if_namespace_gone, &ended, 0);
	return ended;
}

#endif /* PORTKEEP_SWEEP_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* Telling the refused caller which port, and who is in the way. */
#ifndef PORTKEEP_CONFLICT_H
#define PORTKEEP_CONFLICT_H

#include "reservation.h"

static __always_inline void name_owner(struct portkeep_conflict *conflict,
				       const struct reservation *reservation)
{
	conflict->owner_pid = reservation->owner.pid;
	conflict->owner_uid = reservation->owner.uid;
	conflict->since = reservation->since;
}

static __always_inline struct portkeep_conflict make_conflict(enum portkeep_conflict_kind kind,
							      __u16 protocol, __u32 port)
{
	struct portkeep_conflict conflict = {
		.port = bpf_htons(port),
		.kind = kind,
		.protocol = protocol,
	};

	return conflict;
}

static __always_inline int describe_reserved(struct portkeep_conflict *conflict,
					     const struct port_space *space, __u32 port)
{
	struct reservation *reservation = reservation_with(space->netns, space->protocol, port);

	if (!reservation)
		reservation = reservation_with(space->other_netns, space->protocol, port);
	*conflict = make_conflict(PORTKEEP_CONFLICT_RESERVED, space->protocol, port);
	if (reservation)
		name_owner(conflict, reservation);
	return 0;
}

#endif /* PORTKEEP_CONFLICT_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tables have room for here, and how much of the sockets' tables one call visits: a few, so
 * that histories get to the limits. bpf/ has thousands.
 */
#ifndef FUZZ_LIMITS_H
#define FUZZ_LIMITS_H

#include "../../bpf/maps.h"

#undef CHUNKS_MAX
#define CHUNKS_MAX 12
#undef RESERVATIONS_MAX
#define RESERVATIONS_MAX 24
#undef CONSUMERS_RECORDS_MAX
#define CONSUMERS_RECORDS_MAX 9
#undef CHUNK_QUOTA
#define CHUNK_QUOTA 5
#undef CONSUMERS_QUOTA
#define CONSUMERS_QUOTA 4

#define EVENTS_MAX 8

#define CALL_ENTRIES 600
#define PORT_ENTRIES 4

#endif /* FUZZ_LIMITS_H */

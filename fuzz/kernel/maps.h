/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps: arrays and hash tables with the kernel's rules, but small, so that they get full, and
 * with updates that fail now and then, as allocations do.
 */
#ifndef FUZZ_MAPS_H
#define FUZZ_MAPS_H

#define ENTRIES 32 /* of the largest hash table */

struct entry {
	bool used;
	unsigned char key[32];
	/* As the kernel's, aligned; memory of its own, for the sanitizer to watch. */
	void *value;
};

struct fake_map {
	const void *map;
	bool is_hash;
	unsigned int key_size, value_size, limit;
	unsigned int count;
	void *values; /* of an array, in one piece */
	struct entry entries[ENTRIES];
};

static struct fake_map fake_maps[14];
/* Of the updates to come, which fail; taken from the input. */
static unsigned int failures;

#define KEY_SIZE(map) sizeof(*(map).key)
#define MAP_VALUE_SIZE(map) sizeof(*(map).value)

static void make_map(struct fake_map *fake, const void *map, bool is_hash, unsigned int key_size,
		     unsigned int value_size, unsigned int limit)
{
	fake->map = map;
	fake->is_hash = is_hash;
	fake->key_size = key_size;
	fake->value_size = value_size;
	fake->limit = limit;
	fake->count = 0;
	if (!is_hash)
		fake->values = fake->values ?: malloc(limit * value_size);
	for (unsigned int i = 0; i < ENTRIES; i++) {
		struct entry *entry = &fake->entries[i];

		if (entry->used)
			free(entry->value);
		entry->used = false;
	}
	if (!is_hash)
		memset(fake->values, 0, limit * value_size);
}

#define MAKE_ARRAY(index, map, limit)                                                              \
	make_map(&fake_maps[index], &map, false, KEY_SIZE(map), MAP_VALUE_SIZE(map), limit)
#define MAKE_HASH(index, map, limit)                                                               \
	make_map(&fake_maps[index], &map, true, KEY_SIZE(map), MAP_VALUE_SIZE(map), limit)

static void make_maps(void)
{
	MAKE_ARRAY(0, settings, 1);
	MAKE_ARRAY(1, counters, 1);
	MAKE_ARRAY(2, empty_chunk, 1);
	MAKE_ARRAY(3, occupied, 1024);
	MAKE_HASH(4, port_chunks, CHUNKS_MAX);
	MAKE_HASH(5, reservations, RESERVATIONS_MAX);
	MAKE_HASH(6, consumers, CONSUMERS_RECORDS_MAX);
	MAKE_HASH(7, charges, 3);
	MAKE_ARRAY(8, moves, MOVE_SLOTS);
	MAKE_ARRAY(9, subordinates, 2);
	MAKE_ARRAY(10, watching, 1);
	MAKE_ARRAY(11, events, EVENTS_MAX);
	MAKE_ARRAY(12, refusals, REFUSALS_MAX);
	MAKE_ARRAY(13, enabled, 1);
	failures = 0;
}

static struct fake_map *fake_map_of(const void *map)
{
	for (unsigned int i = 0; i < sizeof(fake_maps) / sizeof(*fake_maps); i++) {
		if (fake_maps[i].map == map)
			return &fake_maps[i];
	}
	abort();
}

static struct entry *find_entry(struct fake_map *fake, const void *key)
{
	for (unsigned int i = 0; i < fake->limit; i++) {
		struct entry *entry = &fake->entries[i];

		if (entry->used && !memcmp(entry->key, key, fake->key_size))
			return entry;
	}
	return NULL;
}

void *map_lookup(const void *map, const void *key)
{
	struct fake_map *fake = fake_map_of(map);
	struct entry *entry;
	unsigned int index;

	if (fake->is_hash) {
		entry = find_entry(fake, key);
		return entry ? entry->value : NULL;
	}
	memcpy(&index, key, sizeof(index));
	return index < fake->limit ? fake->values + index * fake->value_size : NULL;
}

static bool fails_now(void)
{
	bool fails = failures & 1;

	failures >>= 1;
	return fails;
}

/*
 * Values that were freed in the present call. A program may still look at one, as under RCU; where
 * reuse is set it can serve another element by then.
 */
static struct {
	void *value;
	unsigned int size;
} freed[1024];
static unsigned int freed_count;
static bool reuse;
static unsigned int in_program; /* how deep: calls of other CPUs come in the middle of one */

static void free_later(void *value, unsigned int size)
{
	if (freed_count == sizeof(freed) / sizeof(*freed))
		abort();
	freed[freed_count].value = value;
	freed[freed_count++].size = size;
}

static void grace_period(void)
{
	while (!in_program && freed_count)
		free(freed[--freed_count].value);
}

static void *new_value(unsigned int size)
{
	for (unsigned int i = freed_count; reuse && i--;) {
		void *value = freed[i].value;

		if (freed[i].size == size) {
			freed[i] = freed[--freed_count];
			return value;
		}
	}
	return malloc(size);
}

long map_update(const void *map, const void *key, const void *value, unsigned long long flags)
{
	struct fake_map *fake = fake_map_of(map);
	struct entry *entry = find_entry(fake, key);

	if (entry) {
		if (flags == BPF_NOEXIST)
			return -17;
		memcpy(entry->value, value, fake->value_size);
		return 0;
	}
	if (fake->count == fake->limit)
		return -E2BIG;
	if (fails_now())
		return -12;
	for (entry = fake->entries; entry->used;)
		entry++;
	entry->used = true;
	memcpy(entry->key, key, fake->key_size);
	entry->value = new_value(fake->value_size);
	memcpy(entry->value, value, fake->value_size);
	fake->count++;
	return 0;
}

long map_delete(const void *map, const void *key)
{
	struct fake_map *fake = fake_map_of(map);
	struct entry *entry = find_entry(fake, key);

	if (!entry)
		return -ENOENT;
	free_later(entry->value, fake->value_size);
	entry->value = NULL;
	entry->used = false;
	fake->count--;
	return 0;
}

typedef long element_callback(const void *map, void *key, void *value, void *context);

long map_for_each(const void *map, void *callback, void *context)
{
	struct fake_map *fake = fake_map_of(map);
	long visited = 0;

	for (unsigned int i = 0; i < fake->limit; i++) {
		struct entry *entry = &fake->entries[i];
		unsigned char key[32];

		if (!entry->used)
			continue;
		memcpy(key, entry->key, sizeof(key));
		visited++;
		if (((element_callback *)callback)(map, key, entry->value, context))
			break;
	}
	return visited;
}

#endif /* FUZZ_MAPS_H */

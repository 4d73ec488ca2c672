/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's helpers for the kernel part compiled as an ordinary program: maps, loops and
 * current state of a kernel that is played in world.h. Only what bpf/ uses.
 */
#ifndef FUZZ_BPF_HELPERS_H
#define FUZZ_BPF_HELPERS_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The kernel part has its own. */
#undef NULL

#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define SEC(name)
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __ksym
#define barrier_var(var)
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

/* ---- the kernel's side, in maps.h and world.h ---- */

struct fake_map;

void *map_lookup(const void *map, const void *key);
long map_update(const void *map, const void *key, const void *value, unsigned long long flags);
long map_delete(const void *map, const void *key);
long map_for_each(const void *map, void *callback, void *context);
void *storage_get(const void *map, const void *socket, unsigned long long flags);
long storage_delete(const void *map, const void *socket);
void *current_task(void);
unsigned long long current_netns(void);
unsigned long long boot_time(void);
void spin_lock(void);
void spin_unlock(void);
long bind_by_program(void *context, const void *address, int length);
/* Another CPU may do something here: between any two steps that others can see. */
void point(void);

extern int retval;

typedef long loop_callback(unsigned int index, void *context);

static inline long run_loop(unsigned int count, loop_callback *callback, void *context)
{
	for (unsigned int i = 0; i < count; i++) {
		if (callback(i, context))
			return i + 1;
	}
	return count;
}

static inline long copy_from_kernel(void *to, unsigned int size, const void *from)
{
	if (!from) {
		memset(to, 0, size);
		return -14;
	}
	memcpy(to, from, size);
	return 0;
}

#define bpf_map_lookup_elem(map, key) (point(), map_lookup(map, key))
#define bpf_map_update_elem(map, key, value, flags) (point(), map_update(map, key, value, flags))
#define bpf_map_delete_elem(map, key) (point(), map_delete(map, key))
#define bpf_for_each_map_elem(map, callback, context, flags)                                       \
	map_for_each(map, (void *)(callback), context)
#define bpf_loop(count, callback, context, flags)                                                  \
	run_loop(count, (loop_callback *)(callback), context)
#define bpf_sk_storage_get(map, sk, value, flags) storage_get(map, sk, flags)
#define bpf_sk_storage_delete(map, sk) storage_delete(map, sk)
#define bpf_spin_lock(lock) ((void)(lock), spin_lock())
#define bpf_spin_unlock(lock) ((void)(lock), spin_unlock())
#define bpf_get_current_task_btf() current_task()
#define bpf_get_netns_cookie(context) ((void)(context), current_netns())
#define bpf_get_retval() retval
#define bpf_set_retval(value) (retval = (value))
#define bpf_ktime_get_boot_ns() boot_time()
#define bpf_probe_read_kernel(to, size, from) copy_from_kernel(to, size, from)
#define bpf_seq_write(seq, data, length) ((void)(seq), (void)(data), (void)(length))
#define bpf_seq_printf(seq, format, size, data, length)                                            \
	((void)(seq), (void)(format), (void)(data), (void)(length))
#define bpf_ksym_exists(symbol) 1
#define bpf_bind(context, address, length) bind_by_program(context, address, length)

#define __sync_fetch_and_add(pointer, value) (point(), __sync_fetch_and_add(pointer, value))
#define __sync_fetch_and_sub(pointer, value) (point(), __sync_fetch_and_sub(pointer, value))
#define __sync_fetch_and_or(pointer, value) (point(), __sync_fetch_and_or(pointer, value))
#define __sync_fetch_and_and(pointer, value) (point(), __sync_fetch_and_and(pointer, value))

#endif /* FUZZ_BPF_HELPERS_H */

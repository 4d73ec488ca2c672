/* SPDX-License-Identifier: GPL-2.0 */
/* Reading kernel structures that have the layout which the compiler gives them. */
#ifndef FUZZ_BPF_CORE_READ_H
#define FUZZ_BPF_CORE_READ_H

#define bpf_core_read(to, size, from) copy_from_kernel(to, size, (const void *)(from))
/* The newest kernel's shape of everything. */
#define bpf_core_field_exists(field) ((void)sizeof(field), 1)
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_type_id_kernel(type) 0

#define OFFSET_OF_TWO(type, field) offsetof(type, field)
/* The one place that asks by expression: the ids of struct group_info. */
#define OFFSET_OF_ONE(expression) offsetof(struct group_info, gid)
#define SECOND_OF_THREE(one, two, name, ...) name
#define bpf_core_field_offset(...)                                                                 \
	SECOND_OF_THREE(__VA_ARGS__, OFFSET_OF_TWO, OFFSET_OF_ONE)(__VA_ARGS__)

#define BPF_CORE_READ(pointer, field) ((pointer)->field)
#define BPF_CORE_READ_BITFIELD(pointer, field) ((pointer)->field)
#define BPF_CORE_READ_BITFIELD_PROBED(pointer, field) ((pointer)->field)

#endif /* FUZZ_BPF_CORE_READ_H */

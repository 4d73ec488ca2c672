/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own structures, reduced to the fields read here. CO-RE relocates
 * every access to the running kernel's layout, so order and size do not matter;
 * names do. A type with a ___ suffix describes another kernel's shape of it.
 */
#ifndef PORTKEEP_KERNEL_TYPES_H
#define PORTKEEP_KERNEL_TYPES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#ifndef __weak
#define __weak __attribute__((weak))
#endif

typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next;
	struct hlist_node **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct uid_gid_extent {
	__u32 first;
	__u32 lower_first;
	__u32 count;
};

struct uid_gid_map {
	__u32 nr_extents;
	struct uid_gid_extent extent[5];
	struct uid_gid_extent *forward; /* instead of extent if there are more */
};

struct user_namespace {
	struct uid_gid_map uid_map;
	struct uid_gid_map gid_map;
	struct user_namespace *parent;
	int level;
	kuid_t owner;
};

typedef struct {
	unsigned int val;
} kgid_t;

struct group_info {
	int ngroups;
	kgid_t gid[];
};

struct cred {
	kuid_t uid;
	kuid_t euid;
	kgid_t egid;
	struct group_info *group_info;
	struct {
		__u64 val; /* up to Linux 6.2 two words, the low one first */
	} cap_effective;
	struct user_namespace *user_ns;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

/* Of the lists of a struct pid and the links of a task the first is for process ids. */
struct pid {
	struct hlist_head tasks[4];
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	struct super_block *i_sb;
	void *i_private;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_boottime;
	const struct cred
		*real_cred; /* what the task is to others; cred may be another for a moment */
	const struct cred *cred;
	struct css_set *cgroups;
	struct files_struct *files;
	struct signal_struct *signal;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	char comm[16];
};

struct ns_common {
	refcount_t __ns_ref;
};

/* Up to Linux 6.17. */
struct ns_common___count {
	refcount_t count;
};

struct local_ports {
	int range[2];
};

/* Since Linux 6.8 one word, the low end of the range in its low half. */
struct local_ports___word {
	__u32 range;
};

struct inet_hashinfo {
	struct inet_bind_hashbucket *bhash;
	struct inet_bind_hashbucket *bhash2;
	unsigned int bhash_size;
};

struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo;
};

struct udp_table {
	struct udp_hslot *hash;
	unsigned int mask;
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
	struct udp_table *udp_table; /* since Linux 6.2; earlier, in the protocol */
	struct local_ports ip_local_ports;
	unsigned long *sysctl_local_reserved_ports;
	int sysctl_ip_prot_sock;
};

struct net {
	struct user_namespace *user_ns;
	struct ns_common ns;
	__u32 hash_mix;
	__u64 net_cookie;
	struct netns_ipv4 ipv4;
};

struct proto {
	union {
		struct udp_table *udp_table;
	} h;
};

struct sock_common {
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	struct hlist_node skc_bind_node;
	struct proto *skc_prot;
	possible_net_t skc_net;
	struct {
		long long counter;
	} skc_cookie;
	struct hlist_node skc_node;
	__u16 skc_num;
};

struct sock {
	struct sock_common __sk_common;
	kuid_t sk_uid;
	unsigned char sk_kern_sock : 1;
	void *sk_bpf_storage;
};

struct qspinlock {
	atomic_t val;
};

struct raw_spinlock {
	struct qspinlock raw_lock;
};

typedef struct spinlock {
	struct raw_spinlock rlock;
} spinlock_t;

struct rt_mutex_base {
	struct task_struct *owner;
};

/* With PREEMPT_RT. */
struct spinlock___rt {
	struct rt_mutex_base lock;
};

struct inet_bind_hashbucket {
	spinlock_t lock;
	struct hlist_head chain;
};

struct inet_bind_hashbucket___rt {
	struct spinlock___rt lock;
};

struct inet_bind_bucket {
	possible_net_t ib_net;
	unsigned short port;
	struct hlist_node node;
	struct hlist_head bhash2; /* since Linux 6.8 */
};

/* Up to Linux 6.7 the bucket itself has the list of sockets. */
struct inet_bind_bucket___owners {
	struct hlist_head owners;
};

struct inet_bind2_bucket {
	possible_net_t ib_net;
	unsigned short port;
	struct hlist_node node;
	struct hlist_node bhash_node;
	struct hlist_head owners;
};

struct udp_hslot {
	struct hlist_head head;
};

struct seq_file {
	long long index;
};

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

#pragma clang attribute pop

/*
 * The verifier checks a function that is not static once and by itself, with
 * unknown arguments, instead of on every path that leads to it. That keeps
 * programs of this size within its limit. Such a function must check its pointers.
 */
#define __verified_alone __attribute__((noinline))

/*
 * A zero that is opaque to the verifier: a global that is not constant. Before Linux 6.7 the
 * verifier walks a loop's callback only once, assumes what it then knows of a variable in every
 * turn, and removes code that only a later turn reaches (ab5cfac139ab, "bpf: verify callbacks as if
 * they are called unknown number of times"). Values that one turn leaves for the next start as this.
 */
static volatile __u64 zero_for_loops;

#define TCP_TIME_WAIT 6 /* include/net/tcp_states.h */

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * A pointer as a plain number, which may be stored and passed on. Negated twice,
 * it is the same address, but the verifier no longer treats it as a pointer.
 */
static __always_inline __u64 address_of(const void *pointer)
{
	__u64 address = (__u64)pointer;

#ifdef __bpf__
	asm volatile("%0 = -%0" : "+r"(address));
	asm volatile("%0 = -%0" : "+r"(address));
#endif
	return address;
}

/*
 * Reading kernel memory. With bpf_rdonly_cast (since Linux 6.2) a read is one
 * instruction; without it, each read calls a helper. Both return zero instead of
 * faulting on a bad address. So walking lists that others change is safe, but the
 * walk has to check what it finds.
 */
#define kernel_object(type, address)                                                               \
	((struct type *)(bpf_ksym_exists(bpf_rdonly_cast) ?                                        \
				 bpf_rdonly_cast((void *)(address),                                \
						 bpf_core_type_id_kernel(struct type)) :           \
				 (void *)address_of((void *)(address))))

#define kernel_read(pointer, field)                                                                \
	({                                                                                         \
		typeof((pointer)->field) value_;                                                   \
		if (bpf_ksym_exists(bpf_rdonly_cast))                                              \
			value_ = (pointer)->field;                                                 \
		else                                                                               \
			bpf_core_read((void *)&value_, sizeof(value_), &(pointer)->field);         \
		value_;                                                                            \
	})

#endif /* PORTKEEP_KERNEL_TYPES_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small kernel: two network namespaces, some processes of some users, sockets, and the tables of
 * bound sockets that the in-use check walks.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#define NAMESPACES 2
#define TASKS 6
#define SOCKETS 10
#define LAST_CONFLICT_KIND 7
#define RESERVED_BITMAP 1024

/* 200 ports are automatic, half of them protected. */
#define AUTOMATIC_START 40000
#define AUTOMATIC_END 40199
#define PROTECTED_START 40100
#define UNPRIVILEGED_START 1024

#define STORAGES 3 /* maps with values in sockets */

#define SUBORDINATE 100007 /* an id that user 1000 owns */

struct storage {
	const void *map;
	void *value;
};

/* A socket is two structures to a program: the one it is given, and the kernel's. */
struct fake_socket {
	struct bpf_sock given;
	struct sock sock;
	bool open;
	bool busy; /* with a call: it is locked */
	unsigned int netns;
	__u16 port; /* bound to, 0: none */
	bool port_is_locked; /* it was asked for, and stays over a disconnect */
	bool address_is_locked;
	bool connected;
	bool listening;
	__u32 address; /* 0: none */
	struct list *list; /* that a TCP socket is on; NULL: on none */
	__u64 bound_through; /* the token that it was associated with then */
	unsigned int bound_in; /* which call */
	bool bound_in_block;
	struct storage storage[STORAGES];
};

static struct fake_socket fake_sockets[SOCKETS];
static struct net nets[NAMESPACES];
static unsigned long protected_ports[RESERVED_BITMAP];
static struct task_struct tasks[TASKS];
static struct cred creds[TASKS];
static struct group_info *no_groups;
static struct user_namespace first_namespace, container;
static struct cgroup root_cgroup;
static struct kernfs_node root_node;
static struct css_set all_tasks;

/* What all tasks have open: a pidfd of each, one of a process that has ended, and another file. */
#define FILES (TASKS + 2)

static struct file files[FILES];
static struct file *open_files[FILES];
static struct inode inodes[FILES];
static struct super_block pidfs = { .s_magic = PID_FS_MAGIC }, other_files;
static struct pid pids[TASKS + 1];
static struct fdtable file_table = { .max_fds = FILES, .fd = open_files };
static struct files_struct all_files = { .fdt = &file_table };
static struct signal_struct alive = { .live = { 1 } };

/* ---- the present moment ---- */

static struct task_struct *current;
static unsigned int present_netns;
static __u64 now;
static int held_locks;
int retval;

void *current_task(void)
{
	return current;
}

unsigned long long current_netns(void)
{
	return nets[present_netns].net_cookie;
}

unsigned long long boot_time(void)
{
	return ++now;
}

void spin_lock(void)
{
	point();
	/* One at a time, and nothing but stores inside: the verifier sees to the rest. */
	if (held_locks++)
		abort();
}

void spin_unlock(void)
{
	if (held_locks-- != 1)
		abort();
	point();
}

/* ---- the beginning ---- */

static void make_task(unsigned int index, unsigned int parent, __u32 uid, bool administrator,
		      struct user_namespace *ns)
{
	struct task_struct *task = &tasks[index];
	struct cred *cred = &creds[index];

	cred->uid.val = cred->euid.val = uid;
	cred->egid.val = uid;
	cred->group_info = no_groups;
	cred->cap_effective.val =
		administrator ? 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_BIND_SERVICE : 0;
	cred->user_ns = ns;
	task->pid = task->tgid = 100 + index;
	task->real_parent = &tasks[parent];
	task->group_leader = task;
	task->start_boottime = 1000 + index;
	task->cred = task->real_cred = cred;
	task->signal = &alive;
	task->files = &all_files;
	task->thread_pid = &pids[index];
	pids[index].tasks[0].first = &task->pid_links[0];
	task->cgroups = &all_tasks;
	memcpy(task->comm, "fuzz", 5);
}

static void make_world(void)
{
	struct uid_gid_map everybody = { .nr_extents = 1, .extent[0] = { 0, 0, 0xffffffff } };
	struct uid_gid_map few = { .nr_extents = 1, .extent[0] = { 0, 1000, 10 } };

	for (unsigned int i = 0; i < SOCKETS; i++) {
		for (unsigned int j = 0; fake_sockets[i].open && j < STORAGES; j++)
			free(fake_sockets[i].storage[j].value);
	}
	memset(fake_sockets, 0, sizeof(fake_sockets));
	make_tables();
	memset(protected_ports, 0, sizeof(protected_ports));
	for (__u32 port = PROTECTED_START; port <= AUTOMATIC_END; port++)
		protected_ports[port / 64] |= 1UL << (port % 64);
	if (!no_groups)
		no_groups = calloc(1, sizeof(*no_groups) + sizeof(kgid_t));
	first_namespace = (struct user_namespace){ .uid_map = everybody, .gid_map = everybody };
	container = (struct user_namespace){
		.uid_map = few,
		.gid_map = few,
		.parent = &first_namespace,
		.level = 1,
		.owner = { 1000 },
	};
	root_node.id = 1;
	root_cgroup.kn = &root_node;
	all_tasks.dfl_cgrp = &root_cgroup;
	for (unsigned int i = 0; i < NAMESPACES; i++) {
		nets[i] = (struct net){
			.user_ns = i ? &container : &first_namespace,
			.ns.__ns_ref.refs.counter = 1,
			.hash_mix = 7 * i,
			.net_cookie = 10 + i,
			.ipv4.tcp_death_row.hashinfo = &tcp_table,
			.ipv4.udp_table = &udp_table,
			.ipv4.sysctl_local_reserved_ports = protected_ports,
			.ipv4.sysctl_ip_prot_sock = UNPRIVILEGED_START,
		};
		nets[i].ipv4.ip_local_ports.range[0] =
			(int)(AUTOMATIC_START | (__u32)AUTOMATIC_END << 16);
	}
	make_task(0, 0, 0, true, &first_namespace);
	make_task(1, 0, 1000, false, &first_namespace);
	make_task(2, 1, 1000, false, &first_namespace);
	make_task(3, 0, 1001, false, &first_namespace);
	make_task(4, 1, 1000, true, &container);
	make_task(5, 0, SUBORDINATE, false, &first_namespace);
	for (unsigned int i = 0; i < FILES; i++) {
		inodes[i].i_sb = i <= TASKS ? &pidfs : &other_files;
		inodes[i].i_private = i <= TASKS ? &pids[i] : 0;
		files[i].f_inode = &inodes[i];
		open_files[i] = &files[i];
	}
	current = &tasks[0];
	held_locks = 0;
	now = 1;
}

#endif /* FUZZ_WORLD_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The process of a pidfd of the caller. No kernel function gives it to a program for
 * socket options (bpf_task_from_pid, since Linux 6.2, is for tracing), so this reads
 * the table of files.
 *
 * The caller's other threads may close or replace the descriptor meanwhile. The program
 * runs in an RCU section: a task that was found stays that task until the end. All the
 * rest is checked after the task was read: the file is still in its place, and pid and
 * task point to each other. What passes is a process that the descriptor meant at some
 * moment of the call, and the rights are checked against that very process.
 */
#ifndef PORTKEEP_PIDFD_H
#define PORTKEEP_PIDFD_H

#include "task.h"

/* include/uapi/linux/magic.h */
#define PID_FS_MAGIC 0x50494446 /* of pidfds since Linux 6.9 */
#define ANON_INODE_FS_MAGIC 0x09041934 /* before, where the name is "[pidfd]" */
#define PIDFD_NAME 0x005d64666469705bULL

/* The address of the file that the caller has under a number; 0 if it has none. */
static __always_inline __u64 file_at(__u32 number)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct files_struct *files = kernel_object(files_struct, address_of(task->files));
	struct fdtable *table = kernel_object(fdtable, address_of(kernel_read(files, fdt)));
	__u64 file = 0;

	if (number >= kernel_read(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file),
			      (void *)(address_of(kernel_read(table, fd)) + number * sizeof(file)));
	return file;
}

/* The address of a pidfd's struct pid; 0 if the file is no pidfd. */
static __always_inline __u64 pid_of_file(__u64 address)
{
	struct file *file = kernel_object(file, address);
	struct inode *inode = kernel_object(inode, address_of(kernel_read(file, f_inode)));
	struct super_block *super =
		kernel_object(super_block, address_of(kernel_read(inode, i_sb)));
	struct dentry *dentry;
	__u64 name = 0;

	if (kernel_read(super, s_magic) == PID_FS_MAGIC)
		return address_of(kernel_read(inode, i_private));
	if (kernel_read(super, s_magic) != ANON_INODE_FS_MAGIC)
		return 0;
	dentry = kernel_object(dentry, address_of(kernel_read(file, f_path.dentry)));
	bpf_probe_read_kernel(&name, sizeof(name), kernel_read(dentry, d_name.name));
	return name == PIDFD_NAME ? address_of(kernel_read(file, private_data)) : 0;
}

/* The address of the link of the first task of a pid, and of that task. */
static __always_inline __u64 first_link(__u64 pid)
{
	struct pid *object = kernel_object(pid, pid);

	return address_of(kernel_read(object, tasks[0].first));
}

static __always_inline struct task_struct *task_of_link(__u64 link)
{
	return kernel_object(task_struct,
			     link - bpf_core_field_offset(struct task_struct, pid_links));
}

/*
 * 0, -EBADF if the number is not that of a pidfd, or -ESRCH if the process has ended or
 * is ending. A pidfd of a thread (PIDFD_THREAD) means the thread's process.
 */
__verified_alone int process_of_pidfd(__u32 number, struct owner *owner)
{
	__u64 file = file_at(number), pid = file ? pid_of_file(file) : 0, link;
	struct task_struct *task, *leader;
	struct signal_struct *signal;
	struct cred *cred;

	if (!owner || !pid)
		return -EBADF;
	link = first_link(pid);
	if (!link)
		return -ESRCH;
	task = task_of_link(link);
	leader = kernel_object(task_struct, address_of(kernel_read(task, group_leader)));
	cred = kernel_object(cred, address_of(kernel_read(leader, real_cred)));
	owner->process.pid = kernel_read(leader, tgid);
	owner->process.started = kernel_read(leader, start_boottime);
	owner->process.uid = kernel_read(cred, uid.val);
	owner->euid = kernel_read(cred, euid.val);
	owner->user_ns = address_of(kernel_read(cred, user_ns));
	bpf_probe_read_kernel(owner->command, sizeof(owner->command), &leader->comm);
	signal = kernel_object(signal_struct, address_of(kernel_read(leader, signal)));
	if (!kernel_read(signal, live.counter) || first_link(pid) != link)
		return -ESRCH;
	if (address_of(kernel_read(task, thread_pid)) != pid || file_at(number) != file)
		return -EBADF;
	return 0;
}

#endif /* PORTKEEP_PIDFD_H */

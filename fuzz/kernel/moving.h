/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Other CPUs. Between any two steps of a program that others can see, the input lets another process
 * make a call; and sockets are connected and disconnected in a loop meanwhile, step by step, as
 * __inet_bhash2_update_saddr() does with the port's bucket locked.
 */
#ifndef FUZZ_MOVING_H
#define FUZZ_MOVING_H

#define MOVERS 2

/*
 * Steps of a program that pass at least from one move of a socket to the next: a return from a system
 * call, another call, and two locks.
 */
#define SYSTEM_CALL 16

enum move_step {
	OUTSIDE,
	LOCKED,
	OFF,
	BEFORE_EMPTY_LIST,
	ON,
};

struct mover {
	struct fake_socket *socket; /* NULL: none */
	struct task_struct *task;
	struct list *list;
	enum move_step step;
	bool connects;
	unsigned int pause; /* steps of the program until the next of its own */
};

static struct mover movers[MOVERS];
static unsigned int until_call; /* steps of the program until another process calls; 0: never */
static bool undisturbed; /* in such a call */

static spinlock_t *lock_of(const struct fake_socket *socket)
{
	return &tcp_bucket(&nets[socket->netns], socket->port)->lock;
}

/* Whether the next step is a move; the hook comes before it, in a connect. */
static bool begin_move(struct mover *mover)
{
	struct fake_socket *socket = mover->socket;
	struct task_struct *task = current;
	unsigned int netns = present_netns;
	int value = retval;

	if (lock_of(socket)->rlock.raw_lock.val.counter)
		return false;
	mover->connects = !socket->connected && byte() % 4 == 3;
	if (mover->connects) {
		undisturbed = true;
		current = mover->task;
		/* Announced at the most, never refused. */
		REQUIRE(!connect_hook(socket, false));
		current = task;
		present_netns = netns;
		retval = value;
		undisturbed = false;
		mover->pause = byte() % 8;
	}
	return true;
}

static void move_on(struct mover *mover)
{
	struct fake_socket *socket = mover->socket;
	atomic_t *lock = &lock_of(socket)->rlock.raw_lock.val;

	switch (mover->step) {
	case OUTSIDE:
		if (!begin_move(mover))
			return;
		break;
	case LOCKED:
		if (lock->counter)
			return;
		lock->counter = 1;
		take_off_list(socket);
		set_address(socket, mover->connects);
		break;
	case OFF:
		mover->list = list_for(socket);
		break;
	case BEFORE_EMPTY_LIST:
		put_on_list(socket, mover->list);
		break;
	case ON:
		lock->counter = 0;
		socket->connected = mover->connects;
		socket->sock.__sk_common.skc_state = mover->connects ? TCP_ESTABLISHED : TCP_CLOSE;
		mover->step = OUTSIDE;
		mover->pause = SYSTEM_CALL + byte() % 32;
		return;
	}
	mover->step++;
	/* Interrupts come in critical sections, too. */
	mover->pause += byte() % 64;
}

static void finish_move(struct mover *mover)
{
	while (mover->socket && mover->step > LOCKED)
		move_on(mover);
}

static void lock_tcp_bucket(unsigned int netns, __u16 port)
{
	struct inet_bind_hashbucket *bucket = tcp_bucket(&nets[netns], port);

	for (struct mover *mover = movers; mover < movers + MOVERS; mover++) {
		if (mover->socket && mover->step > LOCKED &&
		    lock_of(mover->socket) == &bucket->lock)
			finish_move(mover);
	}
}

/* What another process does, to another socket; in fuzz.c. */
static void call_of_another(void);

void point(void)
{
	if (!in_program || undisturbed)
		return;
	for (struct mover *mover = movers; mover < movers + MOVERS; mover++) {
		if (!mover->socket)
			continue;
		if (mover->pause)
			mover->pause--;
		else
			move_on(mover);
	}
	if (!until_call || --until_call)
		return;
	undisturbed = true;
	call_of_another();
	undisturbed = false;
	until_call = byte();
}

/* ---- for one call ---- */

static void start_mover(struct mover *mover, struct fake_socket *socket)
{
	/* One that is bound to an address never moves. */
	if (!socket->open || socket->busy || !is_tcp(socket) || !socket->port ||
	    !socket->port_is_locked || socket->address_is_locked || socket->listening)
		return;
	*mover = (struct mover){ .socket = socket, .task = &tasks[byte() % TASKS] };
	socket->busy = true;
}

static void stop_movers(void)
{
	for (struct mover *mover = movers; mover < movers + MOVERS; mover++) {
		finish_move(mover);
		if (mover->socket)
			mover->socket->busy = false;
		mover->socket = NULL;
	}
	until_call = 0;
}

#endif /* FUZZ_MOVING_H */

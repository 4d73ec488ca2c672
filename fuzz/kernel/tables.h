/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's tables of bound sockets. Of TCP they are as since Linux 6.8: a bucket a port, from which
 * hangs a list for each local address; an empty list goes at once, and its memory is used again at
 * once. Beside sockets there are TIME_WAITs, and connections that a listener left.
 */
#ifndef FUZZ_TABLES_H
#define FUZZ_TABLES_H

#define BUCKETS 4
#define PORT_BUCKETS 32
#define LISTS 64
#define REMAINS 24

#define TCP_ESTABLISHED 1
#define TCP_CLOSE 7

struct list {
	struct inet_bind2_bucket bucket;
	__u32 address; /* 0: none */
	bool used;
};

/* What is bound and belongs to no program: a TIME_WAIT, or a connection waiting for accept(). */
struct remains {
	struct sock sock;
	struct list *list;
	unsigned int netns;
	unsigned int call; /* in which it came or went */
	bool used;
};

static struct inet_bind_hashbucket tcp_buckets[BUCKETS], address_buckets[BUCKETS];
static struct inet_hashinfo tcp_table;
static struct udp_hslot udp_buckets[BUCKETS];
static struct udp_table udp_table;
static struct inet_bind_bucket port_buckets[PORT_BUCKETS];
static struct list lists[LISTS];
static struct remains remains[REMAINS];

static void make_tables(void)
{
	memset(tcp_buckets, 0, sizeof(tcp_buckets));
	memset(address_buckets, 0, sizeof(address_buckets));
	memset(udp_buckets, 0, sizeof(udp_buckets));
	memset(port_buckets, 0, sizeof(port_buckets));
	memset(lists, 0, sizeof(lists));
	memset(remains, 0, sizeof(remains));
	tcp_table = (struct inet_hashinfo){ tcp_buckets, address_buckets, BUCKETS };
	udp_table = (struct udp_table){ udp_buckets, BUCKETS - 1 };
}

static void add_head(struct hlist_head *head, struct hlist_node *node)
{
	node->next = head->first;
	if (node->next)
		node->next->pprev = &node->next;
	node->pprev = &head->first;
	head->first = node;
}

/* Leaves the node's own pointer alone, for who stands on it. */
static void unlink_node(struct hlist_head *head, struct hlist_node *node)
{
	struct hlist_node **at = &head->first;

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	if (node->next)
		node->next->pprev = at;
}

static struct inet_bind_hashbucket *tcp_bucket(const struct net *net, __u16 port)
{
	return &tcp_buckets[(port + net->hash_mix) & (BUCKETS - 1)];
}

static struct inet_bind_hashbucket *address_bucket(const struct net *net, __u32 address, __u16 port)
{
	__u32 hash = hash_of_no_address(net->hash_mix) + 5 * address;

	return &address_buckets[(hash ^ port) & (BUCKETS - 1)];
}

/* ---- a port, and the lists of its addresses ---- */

static struct inet_bind_bucket *port_bucket(struct net *net, __u16 port)
{
	for (unsigned int i = 0; i < PORT_BUCKETS; i++) {
		if (port_buckets[i].ib_net.net == net && port_buckets[i].port == port)
			return &port_buckets[i];
	}
	return NULL;
}

static struct inet_bind_bucket *make_port_bucket(struct net *net, __u16 port)
{
	struct inet_bind_bucket *bucket = port_bucket(net, port);

	if (bucket)
		return bucket;
	for (bucket = port_buckets; bucket->ib_net.net;)
		bucket++;
	bucket->ib_net.net = net;
	bucket->port = port;
	bucket->bhash2.first = NULL;
	add_head(&tcp_bucket(net, port)->chain, &bucket->node);
	return bucket;
}

static void drop_empty_port_bucket(struct inet_bind_bucket *bucket)
{
	if (bucket->bhash2.first)
		return;
	unlink_node(&tcp_bucket(bucket->ib_net.net, bucket->port)->chain, &bucket->node);
	bucket->ib_net.net = NULL;
}

static struct list *make_list(struct inet_bind_bucket *bucket, __u32 address)
{
	struct net *net = bucket->ib_net.net;
	struct list *list;

	for (list = lists; list < lists + LISTS; list++) {
		if (list->used && list->address == address && list->bucket.ib_net.net == net &&
		    list->bucket.port == bucket->port)
			return list;
	}
	for (list = lists; list->used;)
		list++;
	list->used = true;
	list->address = address;
	list->bucket.ib_net.net = net;
	list->bucket.port = bucket->port;
	list->bucket.owners.first = NULL;
	add_head(&bucket->bhash2, &list->bucket.bhash_node);
	add_head(&address_bucket(net, address, bucket->port)->chain, &list->bucket.node);
	return list;
}

static void drop_empty_list(struct list *list)
{
	struct net *net = list->bucket.ib_net.net;
	__u16 port = list->bucket.port;

	if (list->bucket.owners.first)
		return;
	unlink_node(&port_bucket(net, port)->bhash2, &list->bucket.bhash_node);
	unlink_node(&address_bucket(net, list->address, port)->chain, &list->bucket.node);
	list->used = false;
}

/* ---- what nobody has open ---- */

static struct remains *leave(struct net *net, unsigned int netns, __u16 port, __u32 address,
			     unsigned char state, unsigned int call)
{
	for (struct remains *it = remains; it < remains + REMAINS; it++) {
		struct sock_common *common = &it->sock.__sk_common;

		/* Memory of one that has gone in this call may still be looked at. */
		if (it->used || it->call == call)
			continue;
		it->used = true;
		it->call = call;
		it->netns = netns;
		common->skc_state = state;
		common->skc_num = port;
		common->skc_net.net = net;
		it->list = make_list(make_port_bucket(net, port), address);
		add_head(&it->list->bucket.owners, &common->skc_bind_node);
		return it;
	}
	return NULL;
}

static void remove_remains(struct remains *it, unsigned int call)
{
	struct inet_bind_bucket *bucket =
		port_bucket(it->sock.__sk_common.skc_net.net, it->sock.__sk_common.skc_num);

	unlink_node(&it->list->bucket.owners, &it->sock.__sk_common.skc_bind_node);
	drop_empty_list(it->list);
	drop_empty_port_bucket(bucket);
	it->used = false;
	it->call = call;
}

static bool has_remains(unsigned int netns, __u16 port, bool time_wait)
{
	for (const struct remains *it = remains; it < remains + REMAINS; it++) {
		if (it->used && it->netns == netns && it->sock.__sk_common.skc_num == port &&
		    (it->sock.__sk_common.skc_state == TCP_TIME_WAIT) == time_wait)
			return true;
	}
	return false;
}

#endif /* FUZZ_TABLES_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* The values of the control calls: read from the caller, answered to him. */
#ifndef PORTKEEP_OPTION_VALUE_H
#define PORTKEEP_OPTION_VALUE_H

#include "maps.h"

/* An option that cannot be set: left to the kernel, which says ENOPROTOOPT. */
#define NOT_OURS 2

/*
 * The length that the caller gave. The buffer that the kernel copied the value
 * into may be longer (16 bytes at least), so its end tells nothing.
 */
static __always_inline __u32 value_length(struct bpf_sockopt *ctx)
{
	return ctx->optlen;
}

/* Whether a value is not too long and its bytes from offset on are all zero. */
__verified_alone bool rest_is_zero(struct bpf_sockopt *ctx, __u32 offset)
{
	void *value = ctx->optval, *end = ctx->optval_end;
	__u32 length = value_length(ctx);
	__u8 any = 0;

	if (length > PORTKEEP_VALUE_MAX || offset > PORTKEEP_VALUE_MAX)
		return false;
	/* One way through a turn: the verifier would walk every combination of more. */
	for (__u32 i = 0; i < PORTKEEP_VALUE_MAX && offset + i < length; i++) {
		__u8 *byte = value + offset + i;

		if ((void *)(byte + 1) > end)
			return false;
		any |= *byte;
	}
	return !any;
}

static __always_inline bool has_zero_reserved(const struct portkeep_acquire *request)
{
	__u8 any = 0;

	for (__u32 i = 0; i < sizeof(request->reserved); i++)
		any |= request->reserved[i];
	return !any;
}

/* A range by itself, or with flags behind it. */
static __always_inline int read_range(struct bpf_sockopt *ctx, struct portkeep_delete *request)
{
	struct portkeep_delete *whole = ctx->optval;
	__u32 length = value_length(ctx), start, count;

	/* In the kernel's buffer there is always room for the whole. */
	if ((void *)(whole + 1) > ctx->optval_end)
		return -EINVAL;
	request->range = whole->range;
	if (length >= sizeof(*whole))
		request->flags = whole->flags;
	else if (length != sizeof(whole->range))
		return -EINVAL;
	start = bpf_ntohs(request->range.start);
	count = request->range.count;
	if (!start || !count || start + count > 65536)
		return -EINVAL;
	return rest_is_zero(ctx, sizeof(*whole)) ? 0 : -EINVAL;
}

static __always_inline int read_token(struct bpf_sockopt *ctx, __u64 *token)
{
	__u64 *value = ctx->optval;

	if (value_length(ctx) < sizeof(*value) || (void *)(value + 1) > ctx->optval_end)
		return -EINVAL;
	*token = *value;
	return rest_is_zero(ctx, sizeof(*value)) ? 0 : -EINVAL;
}

static __always_inline int read_acquire(struct bpf_sockopt *ctx, struct portkeep_acquire *request)
{
	struct portkeep_acquire *whole = ctx->optval;
	__u32 length = value_length(ctx);

	/* In the kernel's buffer there is always room for the whole. */
	if ((void *)(whole + 1) > ctx->optval_end)
		return -EINVAL;
	request->range = whole->range;
	if (length == sizeof(whole->range))
		return 0;
	if (length < sizeof(*whole))
		return -EINVAL;
	request->flags = whole->flags;
	request->align = whole->align;
	return rest_is_zero(ctx, __builtin_offsetof(struct portkeep_acquire, reserved)) ? 0 :
											  -EINVAL;
}

#define answer(ctx, value)                                                                         \
	({                                                                                         \
		typeof(value) *to_ = (ctx)->optval;                                                \
		int error_ = -EINVAL;                                                              \
		if ((void *)(to_ + 1) <= (ctx)->optval_end) {                                      \
			*to_ = value;                                                              \
			(ctx)->optlen = sizeof(value);                                             \
			error_ = 0;                                                                \
		}                                                                                  \
		error_;                                                                            \
	})

#endif /* PORTKEEP_OPTION_VALUE_H */

"""A rank that torchrun starts: all ranks add up, and each says at which port they met."""

import os

import torch
import torch.distributed

torch.distributed.init_process_group("gloo")
rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
total = torch.ones(1) * rank
torch.distributed.all_reduce(total)
assert total.item() == sum(range(size)), total
print("rank", rank, "of", size, "at", os.environ["MASTER_PORT"], flush=True)
torch.distributed.destroy_process_group()

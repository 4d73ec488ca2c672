"""A task of Ray and a call of its dashboard; then, whether all of Ray listens at the ports that it was given."""

import json
import os
import urllib.request

import ray


def listening():
    """The TCP ports at which anybody in this network namespace listens."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for words in list(map(str.split, lines))[1:]:
                if words[3] == "0A":
                    ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


@ray.remote
def task(number):
    return number * number, listening()


def ports(name):
    return {int(port) for port in os.environ[name].split(",")}


ray.init(address=f"127.0.0.1:{os.environ['GCS']}", log_to_driver=False)
answers = ray.get([task.remote(number) for number in range(4)])
assert [square for square, _ in answers] == [0, 1, 4, 9]
with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['DASHBOARD']}/api/version") as answer:
    version = json.load(answer)["ray_version"]
seen = listening().union(*(ports for _, ports in answers))
named = {name: ports(name) for name in ("GCS", "DASHBOARD", "CLIENT", "AGENTS", "WORKERS")}
assert named["GCS"] | named["DASHBOARD"] | named["CLIENT"] | named["AGENTS"] <= seen, (named, seen)
assert seen <= set().union(*named.values()), (named, seen)
print("Ray", version, "at", *sorted(seen))

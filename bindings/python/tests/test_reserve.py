import errno
import os
import socket
import subprocess
import sys
import warnings

import pytest

import portkeep

KEPT = "import portkeep, sys\n"
CLOSED = "\nsys.stdin.readline(); r.close(); print('closed', flush=True); sys.stdin.readline()"


def in_new_process(code):
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


def test_children_bind(backend, child_bind):
    with portkeep.reserve(tcp=2, udp=1, both=1) as ports:
        assert ports.backend == backend
        assert len(ports.tcp) == 3 and len(ports.udp) == 2 and len(ports.ports) == 4
        assert ports.port == ports.ports[0] == ports.tcp[0] == ports.udp[0]
        for port in ports.tcp:
            assert child_bind("tcp", port) == child_bind("tcp", port, "::1") == 0
        for port in ports.udp:
            assert child_bind("udp", port) == 0


def test_strangers_are_refused_until_closed(backend, stranger_bind):
    for kind in ("tcp", "udp"):
        code = KEPT + f"r = portkeep.reserve({kind}=2); print(*r.ports, flush=True)" + CLOSED
        ports, before, after = stranger_bind(code, kind)
        assert len(set(ports)) == 2
        if backend == "unprotected":
            assert before == [0, 0]
        else:
            assert before == [errno.EADDRINUSE] * 2
        # A port server keeps them until the process ends.
        assert after == ([errno.EADDRINUSE] * 2 if backend == "server" else [0, 0])


def test_own_sockets_only(backend, child_bind):
    with portkeep.reserve(both=2, share=None) as ports:
        assert ports.backend == ("kernel" if backend == "kernel" else "held")
        assert ports.ports[1] == ports.ports[0] + 1
        for port in ports.ports:
            assert child_bind("tcp", port) == child_bind("udp", port) == errno.EADDRINUSE
            assert child_bind("tcp", port, "::1") == errno.EADDRINUSE
        with ports.socket() as server, ports.socket(ports.ports[1], type=socket.SOCK_DGRAM) as udp:
            assert server.getsockname() == ("127.0.0.1", ports.port)
            assert udp.getsockname() == ("127.0.0.1", ports.ports[1])
            server.listen()
            with socket.create_connection(server.getsockname()):
                accepted, _ = server.accept()
                accepted.close()
            assert child_bind("tcp", ports.port) == errno.EADDRINUSE
            assert child_bind("udp", ports.ports[1]) == errno.EADDRINUSE
        # Once more, where a socket was.
        with ports.socket(ports.ports[1], type=socket.SOCK_DGRAM, host="::1") as udp:
            assert udp.family == socket.AF_INET6
        with pytest.raises(ValueError):
            ports.socket(1)
        free = ports.ports[1]
    assert child_bind("tcp", free) == 0


def test_blocks_are_aligned(backend):
    if backend == "server":
        with pytest.warns(portkeep.UnprotectedWarning):
            portkeep.reserve(tcp=2, align=2).close()
        return
    with portkeep.reserve(tcp=3, udp=2, align=4) as ports:
        assert ports.tcp[0] % 4 == ports.udp[0] % 4 == 0
        assert ports.tcp == list(range(ports.tcp[0], ports.tcp[0] + 3))


@pytest.mark.parametrize("form", [lambda p: range(p, p + 2), lambda p: f"{p}-{p + 1}"])
def test_fixed_ports(backend, child_bind, form):
    with portkeep.reserve(both=2, share=None) as ports:
        start = ports.port
        with pytest.raises(portkeep.PortkeepError) as refusal:
            portkeep.reserve(ports=start + 1, share=None)
        assert refusal.value.errno == errno.EADDRINUSE
        assert f"port {start + 1}/tcp" in str(refusal.value)
    with portkeep.reserve(both=1, ports=form(start), share=None) as ports:
        assert ports.tcp == ports.udp == [start, start + 1]
        assert child_bind("udp", start + 1) == errno.EADDRINUSE


def test_automatic_ports_are_held_for_own_sockets(child_bind):
    with open("/proc/sys/net/ipv4/ip_local_port_range") as setting:
        port = sum(map(int, setting.read().split())) // 2
    with portkeep.reserve(ports=port, share=None) as ports:
        assert ports.backend == "held"
        assert child_bind("tcp", port) == errno.EADDRINUSE


def test_a_fork_does_not_end_it(backend, child_bind):
    with portkeep.reserve(share=None) as ports:
        child = os.fork()
        if child == 0:
            ports.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        if backend == "kernel":
            assert child_bind("tcp", ports.port) == errno.EADDRINUSE
        ports.socket().close()


def test_wrong_values():
    for wrong in (
        {"share": "everybody"},
        {"align": 3},
        {"align": 0},
        {"tcp": 0},
        {"udp": -1},
        {"tcp": 65536},
        {"ports": range(5, 1)},
        {"ports": 65536},
        {"ports": "0-3"},
        {"ports": range(10, 20, 2)},
    ):
        with pytest.raises(ValueError):
            portkeep.reserve(**wrong)


def test_unprotected_is_said_once(backend):
    said = in_new_process("import portkeep\nfor _ in range(3): portkeep.reserve()").stderr
    assert said.count("UnprotectedWarning: ") == (1 if backend == "unprotected" else 0), said


PROTECTED = """
import os, sys, portkeep
print("begins", len(sys.argv), flush=True)
kept = portkeep.protect()
with portkeep.reserve(tcp=2, udp=1) as ports:
    assert ports.backend == kept, ports.backend
    print(kept, *ports.tcp, flush=True)
    sys.stdin.readline()
    for port in ports.tcp:
        own = ["import socket, sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))", str(port)]
        assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", *own]) == 0
    ports.socket(ports.udp[0]).close()
"""


@pytest.mark.parametrize("as_file", [True, False])
def test_a_program_has_its_ports_kept(backend, child_bind, tmp_path, as_file):
    file = tmp_path / "program.py"
    file.write_text(PROTECTED)
    program = [str(file)] if as_file else ["-c", PROTECTED]
    with subprocess.Popen(
        [sys.executable, "-W", "error", *program, "argument"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        begun = [running.stdout.readline()]
        line = running.stdout.readline()
        while line.startswith("begins"):
            begun.append(line)
            line = running.stdout.readline()
        # With the same command line, and once more only where nothing kept them.
        assert begun == ["begins 2\n"] * (2 if backend == "unprotected" else 1)
        kept, *ports = line.split()
        assert kept == ("server" if backend == "unprotected" else backend)
        assert [child_bind("tcp", port) for port in ports] == [errno.EADDRINUSE] * 2
        running.stdin.write("\n")
        running.stdin.flush()
        assert running.wait() == 0


def test_it_is_said_why_they_are_not(backend):
    thread = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    for before in ("sys.ps1 = ''", thread):
        said = in_new_process(f"import sys, portkeep\n{before}\nprint(portkeep.protect())")
        if backend == "unprotected":
            assert said.stdout == "unprotected\n"
            assert said.stderr.count("UnprotectedWarning: the ports are unprotected: ") == 1
            assert "under `portkeep run`" in said.stderr or "`portkeep run --" in said.stderr
        else:
            assert (said.stdout, said.stderr) == (f"{backend}\n", "")


def test_ports_are_not_given_twice():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ports = []
        for _ in range(50):
            with portkeep.reserve() as one:
                ports += one.ports
    assert len(set(ports)) == 50


def test_the_module_is_the_command():
    version = subprocess.run(
        [sys.executable, "-m", "portkeep", "--version"], capture_output=True, text=True
    )
    assert version.returncode == 0, version.stderr
    assert version.stdout.startswith("portkeep ")


def test_other_systems_say_so_once():
    said = in_new_process(
        "import sys; sys.platform = 'darwin'\nimport portkeep\n"
        "for _ in range(2):\n    with portkeep.reserve(both=1) as r: r.socket().close()\n"
        "print(r.backend)"
    )
    assert said.stdout == "unprotected\n"
    assert said.stderr.count("Portkeep reserves ports on Linux") == 1

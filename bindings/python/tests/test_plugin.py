"""pytest with the plugin, as its users start it."""

import importlib.util
import os
import subprocess
import sys

import pytest

HEADERS = {
    "kernel": "portkeep: the kernel part keeps the ports",
    # It starts itself under `portkeep run --serve`.
    "unprotected": "portkeep: the port server keeps the ports",
    "server": "portkeep: the port server keeps the ports",
}

SUITE = """
import errno, os, socket, subprocess, sys
import pytest

CHILD = "import socket, sys; socket.socket(2, int(sys.argv[2])).bind(('127.0.0.1', int(sys.argv[1])))"

def child(port, kind=socket.SOCK_STREAM):
    subprocess.run([sys.executable, "-c", CHILD, str(port), str(int(kind))], check=True)
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(f"{port}\\n")

@pytest.mark.parametrize("n", range(6))
def test_tcp(unused_tcp_port, n):
    child(unused_tcp_port)

def test_udp(unused_udp_port):
    child(unused_udp_port, socket.SOCK_DGRAM)

def test_factories(unused_tcp_port_factory, unused_udp_port_factory):
    child(unused_tcp_port_factory())
    child(unused_tcp_port_factory())
    child(unused_udp_port_factory(), socket.SOCK_DGRAM)

def test_both(free_port, reserved_port):
    for port in (free_port, reserved_port):
        child(port)
        socket.socket(2, socket.SOCK_DGRAM).bind(("127.0.0.1", port))

@pytest.mark.parametrize("n", range(2))
def test_scopes(module_reserved_port, session_reserved_port, n, shared={}):
    assert shared.setdefault("ports", (module_reserved_port, session_reserved_port)) == (
        module_reserved_port, session_reserved_port)

def test_reservations(reserved_port_factory, module_reserved_port_factory, session_reserved_port_factory):
    for factory in (reserved_port_factory, module_reserved_port_factory, session_reserved_port_factory):
        assert len(factory(tcp=2).ports) == 2

def test_they_are_ours(unused_tcp_port, unused_tcp_port_factory):
    # Those of pytest-asyncio are automatic ports.
    assert min(unused_tcp_port, unused_tcp_port_factory()) > 60999

def test_portpicker():
    portpicker = pytest.importorskip("portpicker")
    child(portpicker.pick_unused_port())

def test_port_for():
    port_for = pytest.importorskip("port_for")
    child(port_for.select_random())
    assert port_for.select_random({12345}) == 12345
"""


class Run:
    def __init__(self, arguments, status, output, ports):
        self.arguments, self.status, self.output, self.ports = arguments, status, output, ports

    def passed(self):
        assert self.status == 0, self.output
        return self


@pytest.fixture
def run(tmp_path):
    """Runs pytest, or another program."""

    def run(*arguments, suite=SUITE, program=("-m", "pytest"), ini="", stdin=None, env=None):
        (tmp_path / "test_it.py").write_text(suite)
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        seen = tmp_path / "seen"
        seen.write_text("")
        environment = {**os.environ, "SEEN": str(seen), **(env or {})}
        for name in list(environment):
            if name.startswith(("PYTEST_", "COV_")):
                del environment[name]
        done = subprocess.run(
            [sys.executable, *program, "-v", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path, env=environment, input=stdin, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Run(arguments, done.returncode, done.stdout, seen.read_text().split())

    return run


def test_every_port_is_another(run, backend):
    done = run().passed()
    assert HEADERS[backend] in done.output
    assert len(done.ports) == len(set(done.ports)) >= 12, done.output
    assert "UnprotectedWarning" not in done.output
    if all(map(importlib.util.find_spec, ("portpicker", "port_for"))):
        assert "SKIPPED" not in done.output


def test_xdist(run, backend):
    pytest.importorskip("xdist")
    done = run("-n", "3").passed()
    assert HEADERS[backend] in done.output
    assert len(done.ports) == len(set(done.ports)) >= 12, done.output


@pytest.mark.parametrize("arguments", [("-n", "0"), ("-n", "2", "--dist", "loadfile")])
def test_xdist_in_other_ways(run, backend, arguments):
    pytest.importorskip("xdist")
    done = run(*arguments).passed()
    assert HEADERS[backend] in done.output
    assert len(done.ports) == len(set(done.ports)) >= 12, done.output


FORKS = """
import os, pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    if (child := os.fork()) == 0:
        reports = runtestprotocol(item, log=False, nextitem=None)
        os._exit(sum(report.failed for report in reports))
    outcome = "passed" if os.waitpid(child, 0)[1] == 0 else "failed"
    report = pytest.TestReport(item.nodeid, item.location, {}, outcome, None, "call")
    item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_each_test_in_a_child(run, backend, tmp_path):
    # As pytest-forked does, whose version of today does not work with pytest 9.
    (tmp_path / "conftest.py").write_text(FORKS)
    done = run().passed()
    assert HEADERS[backend] in done.output
    # Each child has its own fixtures, and its ports end with it.
    assert len(done.ports) >= 12, done.output


INNER = "def test_it(unused_tcp_port, free_port): assert unused_tcp_port != free_port > 60999"
NESTED = f"""
import os, pytest

def test_in_process(pytester, monkeypatch, unused_tcp_port):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider")
    pytester.makepyfile({INNER!r})
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([os.environ["INNER"]])

def test_as_a_child(pytester):
    pytester.makepyfile({INNER!r})
    pytester.runpytest_subprocess().assert_outcomes(passed=1)

def test_others_are_still_answered_for():
    for name, choose in (("portpicker", "pick_unused_port"), ("port_for", "select_random")):
        module = pytest.importorskip(name)
        assert getattr(module, choose)() > 60999
"""


def test_pytest_within_pytest(run, backend):
    inner = {"INNER": HEADERS[backend]}
    done = run("-p", "pytester", suite=NESTED, env=inner).passed()
    assert done.output.count("test session starts") == 1
    if backend != "kernel":
        # The inner one would start the outer one's command line.
        inner = {"INNER": "portkeep: the ports are UNPROTECTED: pytest runs within pytest*"}
        nowhere = {"PORTSERVER_ADDRESS": "@nobody", "PORTKEEP_SERVER": ""}
        arguments = ("-p", "pytester", "-k", "test_in_process")
        ini = "portkeep_run = never"
        done = run(*arguments, suite=NESTED, ini=ini, env={**nowhere, **inner}).passed()
        assert done.output.count("test session starts") == 1


def test_asyncio(run):
    pytest.importorskip("pytest_asyncio")
    suite = """
import asyncio, pytest

@pytest.mark.asyncio
async def test_server(unused_tcp_port):
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", unused_tcp_port)
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
    assert await reader.read() == b""
    server.close()
"""
    run(suite=suite).passed()


def test_a_conftest_wins(run, tmp_path):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef free_port(): return 'mine'\n"
    )
    run(suite="def test_it(free_port): assert free_port == 'mine'").passed()


def test_a_conftest_wraps(run, tmp_path):
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\n"
        "def unused_tcp_port(unused_tcp_port): yield str(unused_tcp_port)\n"
        "@pytest.fixture(scope='session')\n"
        "def unused_tcp_port_factory(unused_tcp_port_factory): return lambda: -unused_tcp_port_factory()\n"
    )
    run(
        suite="def test_it(unused_tcp_port, unused_tcp_port_factory):\n"
        "    assert int(unused_tcp_port) > 60999 and -unused_tcp_port_factory() > 60999\n"
    ).passed()


def test_it_can_be_turned_off(run):
    done = run("-p", "no:portkeep", suite="def test_it(reserved_port): pass")
    assert "portkeep:" not in done.output
    assert "fixture 'reserved_port' not found" in done.output


def test_status_and_input_are_those_of_pytest(run):
    assert run(suite="def test_it(): assert False").status == 1
    assert run("-k", "nothing").status == 5
    assert run("--no-such-option").status == 4
    suite = "def test_it():\n    assert input() == 'typed'\n"
    run("-s", suite=suite, stdin="typed\n").passed()
    done = run("-s", suite="def test_it():\n    breakpoint()\n", stdin="print(6 * 7)\nc\n").passed()
    assert "42" in done.output


def test_options_survive(run):
    done = run("-k", "test_tcp and not 3", "--junit-xml=a b.xml").passed()
    assert len(done.ports) == 5
    assert "xml file" in done.output


def test_unprotected_says_why(run, backend):
    suite = "def test_it(unused_tcp_port): pass"
    if backend == "kernel":
        done = run(suite=suite, ini="portkeep_run = never").passed()
        assert HEADERS["kernel"] in done.output
        return
    nowhere = {"PORTSERVER_ADDRESS": "@nobody", "PORTKEEP_SERVER": ""}
    done = run(suite=suite, ini="portkeep_run = never", env=nowhere).passed()
    assert "portkeep: the ports are UNPROTECTED: portkeep_run is 'never'" in done.output
    done = run(suite=suite, env={**nowhere, "PORTKEEP_COMMAND": "/nowhere/portkeep"}).passed()
    assert "portkeep: the ports are UNPROTECTED: /nowhere/portkeep: No such file" in done.output
    done = run(suite=suite, env={**nowhere, "PORTKEEP_COMMAND": "/bin/false"}).passed()
    assert "portkeep: the ports are UNPROTECTED: " in done.output
    script = ("-c", "import pytest, sys; print('once'); sys.exit(pytest.main())")
    done = run(suite=suite, program=script, env=nowhere).passed()
    assert "portkeep: the ports are UNPROTECTED: pytest was called by a program" in done.output
    assert done.output.count("once") == 1
    debugger = ("-c", "import sys; sys.modules['debugpy'] = sys; import pytest; sys.exit(pytest.main())")
    done = run(suite=suite, program=debugger, env=nowhere).passed()
    assert "portkeep: the ports are UNPROTECTED: a debugger is attached" in done.output
    # Its pdb takes pytest's options for its own.
    if sys.version_info[:3] != (3, 13, 0):
        debugger = ("-m", "pdb", "-c", "continue", "-m", "pytest")
        done = run(suite=suite, program=debugger, stdin="q\n", env=nowhere)
        unprotected = "portkeep: the ports are UNPROTECTED: a debugger is attached"
        assert done.output.count(unprotected) == 1, done.output


def test_under_coverage(run, backend, tmp_path):
    pytest.importorskip("coverage")
    done = run("-k", "test_tcp", program=("-m", "coverage", "run", "-m", "pytest")).passed()
    assert HEADERS[backend] in done.output
    assert (tmp_path / ".coverage").exists()
    pytest.importorskip("pytest_cov")
    done = run("-k", "test_tcp", "--cov=.", "--cov-report=term").passed()
    assert HEADERS[backend] in done.output
    assert "test_it.py" in done.output and "TOTAL" in done.output


def test_the_script_pytest(run, backend):
    script = os.path.join(os.path.dirname(sys.executable), "pytest")
    done = run("-k", "test_tcp", program=(script,)).passed()
    assert HEADERS[backend] in done.output

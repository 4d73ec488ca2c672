//! The programs, and what each has to do.

/// A program, and a script that uses `$PORT` and `$PORTKEEP_TCP`.
#[derive(Debug)]
pub struct Program {
    /// What it needs on the machine, and the Debian package that has it.
    pub needs: &'static [(&'static str, &'static str)],
    pub run_by: As,
    /// How many TCP ports it gets.
    pub ports: u16,
    pub script: &'static str,
}

/// Who runs it.
#[derive(Debug, Clone, Copy)]
pub enum As {
    Root,
    User,
    /// The script runs `$PORTKEEP` itself.
    Itself,
}

/// Four workers, each of which opens and closes servers at its own port.
pub fn pytest_xdist() -> Program {
    Program {
        needs: &[(
            "/usr/lib/python3/dist-packages/xdist",
            "python3-pytest-xdist",
        )],
        run_by: As::User,
        ports: 4,
        script: r#"
cat > test_servers.py <<'END'
import http.server, os, threading, urllib.request
import pytest

@pytest.mark.parametrize("number", range(80))
def test_server(number):
    worker = int(os.environ["PYTEST_XDIST_WORKER"][2:])
    port = int(os.environ["PORTKEEP_TCP"].split(",")[worker])
    server = http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert answer.status == 200
    server.shutdown()
    server.server_close()
END
$python -m pytest -p no:cacheprovider -n 4 -q test_servers.py
"#,
    }
}

/// Workers that share the listener, a reload, a restart.
pub fn gunicorn() -> Program {
    Program {
        needs: &[("/usr/bin/gunicorn", "gunicorn")],
        run_by: As::User,
        ports: 1,
        script: r#"
cat > app.py <<'END'
def app(environment, start):
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
END
for _ in 1 2; do
    gunicorn --workers 3 --bind "127.0.0.1:$PORT" --worker-tmp-dir . app:app &
    until_true answers "$PORT"
    kill -HUP $!
    until_true answers "$PORT"
    kill -TERM $!
    wait $!
done
"#,
    }
}

/// The same with processes that inherit the listener.
pub fn uvicorn() -> Program {
    Program {
        needs: &[("/usr/bin/uvicorn", "uvicorn")],
        run_by: As::User,
        ports: 1,
        script: r#"
cat > app.py <<'END'
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
END
for _ in 1 2; do
    uvicorn --workers 2 --lifespan off --port "$PORT" app:app &
    until_true answers "$PORT"
    kill -TERM $!
    wait $! || true
done
"#,
    }
}

/// `reuseport` listeners, a reload, a restart at once.
pub fn nginx() -> Program {
    Program {
        needs: &[("/usr/sbin/nginx", "nginx-light")],
        run_by: As::User,
        ports: 1,
        script: r#"
cat > nginx.conf <<END
daemon off;
pid $DIRECTORY/pid;
error_log stderr;
worker_processes 2;
events {}
http {
    access_log off;
    client_body_temp_path $DIRECTORY/a;
    proxy_temp_path $DIRECTORY/b;
    fastcgi_temp_path $DIRECTORY/c;
    uwsgi_temp_path $DIRECTORY/d;
    scgi_temp_path $DIRECTORY/e;
    server { listen 127.0.0.1:$PORT reuseport; location / { return 200 ok; } }
}
END
for _ in 1 2 3; do
    /usr/sbin/nginx -e stderr -c "$DIRECTORY/nginx.conf" &
    until_true answers "$PORT"
    kill -HUP $!
    until_true answers "$PORT"
    kill -QUIT $!
    wait $!
done
"#,
    }
}

pub fn redis() -> Program {
    Program {
        needs: &[
            ("/usr/bin/redis-server", "redis-server"),
            ("/usr/bin/redis-cli", "redis-tools"),
        ],
        run_by: As::User,
        ports: 1,
        script: r#"
for _ in 1 2 3; do
    redis-server --port "$PORT" --save '' --logfile /dev/null &
    until_true redis-cli -p "$PORT" ping
    redis-cli -p "$PORT" shutdown nosave
    wait $!
done
"#,
    }
}

/// A daemon of its own session, which is restarted.
pub fn postgres() -> Program {
    Program {
        needs: &[("/usr/lib/postgresql", "postgresql")],
        run_by: As::User,
        ports: 1,
        script: r#"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
$bin/initdb --pgdata data --no-sync --auth trust > /dev/null
$bin/pg_ctl --pgdata data --wait --timeout 300 --log log \
    --options "-p $PORT -k $DIRECTORY -c fsync=off" start
$bin/pg_isready --host 127.0.0.1 --port "$PORT"
for _ in 1 2; do
    $bin/pg_ctl --pgdata data --wait --timeout 300 --log log --mode fast restart
    $bin/pg_isready --host 127.0.0.1 --port "$PORT"
done
$bin/pg_ctl --pgdata data --wait --mode fast stop
"#,
    }
}

/// The primary binds, the workers accept.
pub fn node_cluster() -> Program {
    Program {
        needs: &[("/usr/bin/node", "nodejs")],
        run_by: As::User,
        ports: 1,
        script: r#"
cat > server.js <<'END'
const cluster = require("cluster"), http = require("http");
if (cluster.isMaster) {
    for (let number = 0; number < 3; number++) cluster.fork();
    process.on("SIGTERM", () => process.exit(0));
} else {
    http.createServer((request, answer) => answer.end("ok")).listen(+process.env.PORT, "127.0.0.1");
}
END
for _ in 1 2; do
    node server.js &
    until_true answers "$PORT"
    kill $!
    wait $!
done
"#,
    }
}

/// Servers that tests open and close.
pub fn go_httptest() -> Program {
    Program {
        needs: &[("/usr/bin/go", "golang-go")],
        run_by: As::Root,
        ports: 2,
        script: r#"
cat > server_test.go <<'END'
package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func serve(t *testing.T, port string) {
	for range [20]int{} {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Listener.Close()
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		server.Listener = listener
		server.Start()
		answer, err := http.Get(server.URL)
		if err != nil || answer.StatusCode != 404 {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		server.Close()
	}
}

func TestServers(t *testing.T) {
	for _, port := range strings.Split(os.Getenv("PORTKEEP_TCP"), ",") {
		port := port
		t.Run(port, func(t *testing.T) { t.Parallel(); serve(t, port) })
	}
}
END
export GO111MODULE=off GOENV=off GOPATH="$DIRECTORY/go"
go test -count=1 server_test.go
"#,
    }
}

pub fn java() -> Program {
    Program {
        needs: &[("/usr/bin/javac", "default-jdk-headless")],
        run_by: As::User,
        ports: 1,
        script: r#"
cat > Server.java <<'END'
import java.net.*;

class Server {
    public static void main(String[] words) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        for (int number = 0; number < 20; number++) {
            try (ServerSocket server = new ServerSocket(port, 5, InetAddress.getLoopbackAddress());
                    Socket client = new Socket(InetAddress.getLoopbackAddress(), port);
                    Socket accepted = server.accept()) {
                accepted.getOutputStream().write(7);
                if (client.getInputStream().read() != 7) throw new Exception("lost");
            }
        }
    }
}
END
java -Xshare:auto Server.java
"#,
    }
}

/// A server of its own is the command's descendant. One that ran before is not: what it starts is a
/// stranger.
pub fn tmux() -> Program {
    Program {
        needs: &[("/usr/bin/tmux", "tmux")],
        run_by: As::Itself,
        ports: 0,
        script: r#"
export TMUX_TMPDIR="$DIRECTORY" TERM=xterm
declare -f bind > "$DIRECTORY/bind.sh"
echo 'python=/usr/bin/python3; bind "$1" > "$2"; mv "$2" "$2.end"' >> "$DIRECTORY/bind.sh"
tmux -L before -f /dev/null new-session -d 'sleep 600'
"$PORTKEEP" run --tcp 1 bash -euc '
for server in before own; do
    tmux -L $server -f /dev/null new-session -d "bash $DIRECTORY/bind.sh $PORT $DIRECTORY/$server"
    for _ in $(seq 600); do [ ! -e "$DIRECTORY/$server.end" ] || break; sleep 0.1; done
done
tmux -L own kill-server 2>/dev/null || true
'
tmux -L before kill-server
[ "$(cat before.end)" = EADDRINUSE ]
[ "$(cat own.end)" = bound ]
"#,
    }
}

/// Root's command keeps what set-user-ID programs give. A process of another user is let in by the kernel
/// part, and by root's holder.
pub fn sudo() -> Program {
    Program {
        needs: &[("/usr/bin/sudo", "sudo")],
        run_by: As::Root,
        ports: 1,
        script: r#"
[ "$(sudo -n id -u)" = 0 ]
declare -f bind > bind.sh
echo 'python=/usr/bin/python3; bind "$1"' >> bind.sh
[ "$(sudo -n bash bind.sh "$PORT")" = bound ]
as_another=$(sudo -n -u nobody bash bind.sh "$PORT")
case $BACKEND in
kernel) [ "$as_another" = bound ] ;;
held) [ "$as_another" = bound ] || [ "$as_another" = EADDRINUSE ] ;;
esac
"#,
    }
}

/// In a terminal, under a shell with job control: Ctrl-C reaches it, Ctrl-Z stops it, `fg` goes on.
pub fn repl() -> Program {
    Program {
        needs: &[("/usr/bin/python3", "python3")],
        run_by: As::Itself,
        ports: 0,
        script: r#"
cat > drive.py <<'END'
import os, pty, select, sys, time

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1="shell> ", TERM="dumb", HISTFILE="")
    os.execlp("bash", "bash", "--norc", "--noprofile", "-i")

shown = b""
def expect(text):
    global shown
    end = time.monotonic() + 60
    while text.encode() not in shown:
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit(f"no {text!r} in {shown!r}")
        shown += os.read(terminal, 4096)
    shown = shown.split(text.encode(), 1)[1]

def type_in(text):
    os.write(terminal, text.encode())

expect("shell> ")
type_in("$PORTKEEP run --tcp 1 /usr/bin/python3 -q -i\n")
expect(">>> ")
type_in("import os, socket; s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n")
expect(">>> ")
type_in("print('list' + 'ens', s.getsockname()[1] == int(os.environ['PORT']))\n")
expect("listens True")
# Not one long sleep: Python does not see a signal that comes just before it sleeps.
type_in("print('sle' + 'eps', flush=True); import time; all(not time.sleep(0.1) for _ in iter(int, 1))\n")
expect("sleeps")
type_in("\x03")
expect("KeyboardInterrupt")
expect(">>> ")
type_in("\x1a")
expect("Stopped")
expect("shell> ")
type_in("fg\n")
type_in("print('on' + 'ward')\n")
expect("onward")
type_in("exit(7)\n")
expect("shell> ")
type_in("echo status=$?\n")
expect("status=7")
type_in("exit\n")
END
$python drive.py
"#,
    }
}

/// Namespaces that leave the network as it is, and one of its own, which has ports of its own.
pub fn bwrap() -> Program {
    Program {
        needs: &[("/usr/bin/bwrap", "bubblewrap")],
        run_by: As::Root,
        ports: 1,
        script: r#"
declare -f bind > bind.sh
echo 'python=/usr/bin/python3; bind "$1"' >> bind.sh
[ "$(bwrap --dev-bind / / --unshare-pid --unshare-ipc --unshare-uts bash bind.sh "$PORT")" = bound ]
[ "$(bwrap --dev-bind / / --unshare-pid --unshare-net bash bind.sh "$PORT")" = bound ]
[ "$(bind "$PORT")" = bound ]
"#,
    }
}

pub fn unshare() -> Program {
    Program {
        needs: &[
            ("/usr/bin/unshare", "util-linux"),
            ("/usr/sbin/ip", "iproute2"),
        ],
        run_by: As::Root,
        ports: 1,
        script: r#"
declare -f bind > bind.sh
echo 'python=/usr/bin/python3; bind "$1"' >> bind.sh
[ "$(unshare --mount --pid --fork --mount-proc --ipc --uts bash bind.sh "$PORT")" = bound ]
[ "$(unshare --net bash -c 'ip link set lo up && bash bind.sh "$PORT"')" = bound ]
[ "$(bind "$PORT")" = bound ]
"#,
    }
}

package portkeep

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// What keeps ports here, by the scene that bindings/test sets: kernel, server or unprotected.
var expected = os.Getenv("PORTKEEP_EXPECT")

// The test program is also the child that binds, and the other process that reserves.
func TestMain(m *testing.M) {
	switch os.Getenv("PORTKEEP_TEST_ROLE") {
	case "bind":
		listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORTKEEP_TEST_PORT"))
		if err != nil {
			os.Exit(1)
		}
		listener.Close()
		os.Exit(0)
	case "reserve":
		reserved, err := Reserve(Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(reserved.Port())
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(role string, port int) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "PORTKEEP_TEST_ROLE="+role, fmt.Sprint("PORTKEEP_TEST_PORT=", port))
	command.Stderr = os.Stderr
	return command
}

func childBinds(port int) bool { return program("bind", port).Run() == nil }

func protected(t *testing.T) {
	if expected == "unprotected" {
		if _, err := Reserve(Options{}); !errors.Is(err, ErrUnprotected) {
			t.Fatal(err)
		}
		t.Skip("nothing keeps ports here")
	}
}

func reserve(t *testing.T, options Options) *Reservation {
	t.Helper()
	reserved, err := Reserve(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reserved.Close() })
	return reserved
}

func TestChildrenBind(t *testing.T) {
	protected(t)
	reserved := reserve(t, Options{TCP: 2, UDP: 1, Both: 1})
	if len(reserved.TCP()) != 3 || len(reserved.UDP()) != 2 {
		t.Fatal(reserved.TCP(), reserved.UDP())
	}
	for _, port := range reserved.TCP() {
		if !childBinds(port) {
			t.Error("refused", port)
		}
	}
	conn, err := reserved.ListenPacket("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestStrangersAreRefused(t *testing.T) {
	protected(t)
	other := program("reserve", 0)
	input, _ := other.StdinPipe()
	output, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Fscan(output, &port); err != nil {
		t.Fatal(err)
	}
	_, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	input.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestBlocks(t *testing.T) {
	if expected != "kernel" {
		for _, options := range []Options{{Start: 62000}, {Align: 2}, {Share: Associated}} {
			if _, err := Reserve(options); !errors.Is(err, ErrUnprotected) {
				t.Error(options, err)
			}
		}
		return
	}
	reserved := reserve(t, Options{Both: 3, Align: 4, Share: Associated})
	port := reserved.Port()
	if port%4 != 0 || reserved.TCP()[2] != port+2 || reserved.UDP()[1] != port+1 {
		t.Error(reserved.TCP(), reserved.UDP())
	}
	if childBinds(port) {
		t.Error("a child has bound")
	}
	listener, err := reserved.Listen("127.0.0.1", port+1)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = Reserve(Options{TCP: 1, Start: uint16(port + 2)})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	if _, err = Reserve(Options{Align: 3}); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	reserved.Close()
	if !childBinds(port) {
		t.Error("it is still reserved")
	}
}

func TestListen(t *testing.T) {
	protected(t)
	listener, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if port < 61000 {
		t.Error("not of the pool:", port)
	}
	listener.Close()
	again, err := Listen("tcp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestGetFreePorts(t *testing.T) {
	ports, err := GetFreePorts(10)
	if err != nil {
		t.Fatal(err)
	}
	one, err := GetFreePort()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range append(ports, one) {
		if seen[port] || !childBinds(port) {
			t.Error(port, ports)
		}
		seen[port] = true
	}
}

func TestNoServer(t *testing.T) {
	if expected == "kernel" {
		t.Skip("no server is needed")
	}
	t.Setenv("PORTKEEP_SERVER", "/nowhere")
	t.Setenv("PORTSERVER_ADDRESS", "@nobody")
	_, err := Reserve(Options{})
	if !errors.Is(err, ErrUnprotected) || !strings.Contains(err.Error(), "@nobody") {
		t.Error(err)
	}
	if _, err := Reserve(Options{TCP: -1}); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
}

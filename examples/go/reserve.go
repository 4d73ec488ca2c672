// Reserves a block of eight TCP ports, shows that a stranger cannot bind in it,
// binds a socket of its own there, and gives the block back.
//
// The socket options and their values are those of bpf/portkeep.h.
//
//	go run examples/go/reserve.go
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

const (
	solPortkeep = 0x504B
	// An option is a C int: these two are control codes of Winsock with the highest bit set.
	optionAcquire   = 0x98000064 - 1<<32
	optionAssociate = 0x98000066 - 1<<32
	optionConflict  = 2

	conflictReserved = 1
)

// port is in network byte order, as in a sockaddr; every other number of the ABI is in host byte
// order.
type port [2]byte

func (p port) number() int { return int(binary.BigEndian.Uint16(p[:])) }

// portRange is struct portkeep_range. Start 0 asks for any free block.
type portRange struct {
	start port
	count uint16
}

// instance is struct portkeep_instance.
type instance struct {
	portRange
	_     uint32
	token uint64
}

// conflict is struct portkeep_conflict.
type conflict struct {
	port     port
	kind     uint8
	protocol uint8
	pid, uid uint32
	_        uint32
	since    uint64
}

func set[T any](fd, option int, value T) error {
	_, _, errno := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), solPortkeep,
		uintptr(option), uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func get[T any](fd, option int) (T, error) {
	var value T
	size := uint32(unsafe.Sizeof(value))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), solPortkeep,
		uintptr(option), uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return value, errno
	}
	return value, nil
}

// reserve reserves ports for as long as the socket is open.
func reserve(fd int, count uint16) (instance, error) {
	// The block is read by the thread that acquired it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := set(fd, optionAcquire, portRange{count: count}); err != nil {
		return instance{}, err
	}
	return get[instance](fd, optionAcquire)
}

func bind(fd, port int) error {
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func localPort(fd int) int {
	address, err := syscall.Getsockname(fd)
	check(err)
	return address.(*syscall.SockaddrInet4).Port
}

func tcpSocket() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	check(err)
	return fd
}

func showRefusal(fd, port int) {
	err := bind(fd, port)
	if err == nil {
		check(fmt.Errorf("a stranger took port %d", port))
	}
	fmt.Printf("a stranger's bind to port %d: %v\n", port, err)

	refusal, err := get[conflict](fd, optionConflict)
	check(err)
	if refusal.kind == conflictReserved {
		fmt.Printf("port %d is reserved by process %d, user %d\n",
			refusal.port.number(), refusal.pid, refusal.uid)
	}
}

func main() {
	holder, stranger, server := tcpSocket(), tcpSocket(), tcpSocket()
	block, err := reserve(holder, 8)
	check(err)
	start := block.start.number()
	fmt.Printf("process %d reserved ports %d-%d, token %d\n",
		os.Getpid(), start, start+int(block.count)-1, block.token)

	// Any socket that is not associated is a stranger, be it of the same process.
	showRefusal(stranger, start)

	// Associated with the token, a socket may bind in the block; to port 0, to any port of it.
	check(set(server, optionAssociate, block.token))
	check(bind(server, 0))
	fmt.Printf("the server's bind to port 0 took port %d\n", localPort(server))

	// A server that is bound keeps its port when the reservation ends: close it too.
	check(syscall.Close(server))
	check(syscall.Close(holder))
	check(bind(stranger, start))
	fmt.Printf("released: the stranger has port %d\n", localPort(stranger))
	check(syscall.Close(stranger))
}

func check(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "error:", explain(err))
	os.Exit(1)
}

func explain(err error) string {
	if errors.Is(err, syscall.ENOPROTOOPT) {
		return "Portkeep is not enabled here\nHint: run `portkeep enable` as root"
	}
	return err.Error()
}

package portkeep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// The socket options of bpf/portkeep.h. An option is a C int: some are control codes of Winsock with the
// highest bit set.
const (
	level           = 0x504B
	optionAcquire   = 0x98000064 - 1<<32
	optionRelease   = 0x98000065 - 1<<32
	optionAssociate = 0x98000066 - 1<<32
)

var flags = map[Share]uint32{Process: 1, Tree: 2, User: 16, Associated: 0}

// struct portkeep_acquire
type request struct {
	start [2]byte // in network byte order
	count uint16
	flags uint32
	align uint16
	_     [6]byte
}

// struct portkeep_instance
type instance struct {
	start [2]byte
	count uint16
	_     uint32
	token uint64
}

type block struct {
	protocol     protocol
	start, count uint16
	token        uint64
	holder       int
}

// acquire reserves the same ports of each protocol.
func acquire(protocols []protocol, count uint16, options Options) ([]*block, error) {
	if options.Start != 0 || len(protocols) == 1 {
		return acquireEach(protocols, options.Start, count, options)
	}
	// A port that one protocol refuses stays reserved in the other meanwhile, so that each round gets
	// others.
	for {
		first, err := acquireOne(protocols[0], 0, count, options)
		if err != nil {
			return nil, err
		}
		others, err := acquireEach(protocols[1:], first.start, count, options)
		if err == nil {
			return append([]*block{first}, others...), nil
		}
		defer first.release()
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

func acquireEach(protocols []protocol, start, count uint16, options Options) ([]*block, error) {
	var blocks []*block
	for _, protocol := range protocols {
		block, err := acquireOne(protocol, start, count, options)
		if err != nil {
			for _, block := range blocks {
				block.release()
			}
			return nil, err
		}
		blocks = append(blocks, block)
	}
	return blocks, nil
}

func acquireOne(protocol protocol, start, count uint16, options Options) (*block, error) {
	// The kernel part answers the thread that acquired.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	holder, err := syscall.Socket(syscall.AF_INET, int(protocol)|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	wanted := request{count: count, flags: flags[options.Share], align: options.Align}
	binary.BigEndian.PutUint16(wanted.start[:], start)
	if err := set(uintptr(holder), optionAcquire, unsafe.Pointer(&wanted), unsafe.Sizeof(wanted)); err != nil {
		syscall.Close(holder)
		return nil, fmt.Errorf("%d ports from %d (0 is any): %w", count, start, err)
	}
	var got instance
	size := uint32(unsafe.Sizeof(got))
	option := optionAcquire
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(holder), level, uintptr(option),
		uintptr(unsafe.Pointer(&got)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		syscall.Close(holder)
		return nil, os.NewSyscallError("getsockopt", errno)
	}
	return &block{protocol, binary.BigEndian.Uint16(got.start[:]), got.count, got.token, holder}, nil
}

func (b *block) associate(fd uintptr) error {
	return set(fd, optionAssociate, unsafe.Pointer(&b.token), unsafe.Sizeof(b.token))
}

func (b *block) release() {
	// Children may have copies of the socket.
	_ = set(uintptr(b.holder), optionRelease, unsafe.Pointer(&b.token), unsafe.Sizeof(b.token))
	syscall.Close(b.holder)
}

func set(fd uintptr, option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := syscall.Syscall6(syscall.SYS_SETSOCKOPT, fd, level, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return os.NewSyscallError("setsockopt", errno)
	}
	return nil
}

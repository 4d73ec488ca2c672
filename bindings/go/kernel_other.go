//go:build !linux

package portkeep

import "syscall"

type block struct {
	protocol     protocol
	start, count uint16
}

// acquire fails: Portkeep reserves ports on Linux.
func acquire([]protocol, uint16, Options) ([]*block, error) { return nil, syscall.ENOPROTOOPT }

func (*block) associate(uintptr) error { return syscall.ENOPROTOOPT }

func (*block) release() {}

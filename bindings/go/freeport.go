package portkeep

import (
	"errors"
	"log"
	"net"
	"sync"
)

var (
	kept struct {
		sync.Mutex
		reservations []*Reservation
	}
	warned sync.Once
)

// GetFreePort returns a port that is reserved for this process and those that it starts until it ends.
//
// It and GetFreePorts are drop-in replacements for those of github.com/phayes/freeport: where nothing
// keeps ports, they return free ones, and log so once.
func GetFreePort() (int, error) {
	ports, err := GetFreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// GetFreePorts returns several ports.
func GetFreePorts(count int) ([]int, error) {
	if count <= 0 {
		return nil, nil
	}
	reserved, err := Reserve(Options{Both: count})
	if errors.Is(err, ErrUnprotected) {
		warned.Do(func() { log.Print("portkeep: the ports are unprotected: ", err) })
		return free(count)
	}
	if err != nil {
		return nil, err
	}
	// As long as the process.
	kept.Lock()
	defer kept.Unlock()
	kept.reservations = append(kept.reservations, reserved)
	return reserved.TCP(), nil
}

func free(count int) ([]int, error) {
	var ports []int
	for ; count > 0; count-- {
		listener, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			return nil, err
		}
		// Until all are found, so that they differ.
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

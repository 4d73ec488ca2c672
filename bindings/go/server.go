package portkeep

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// askServer asks the port server in the environment, by python_portpicker's protocol.
func askServer() (int, error) {
	var reason error
	for _, variable := range []string{"PORTKEEP_SERVER", "PORTSERVER_ADDRESS"} {
		// An abstract address begins with @ for package net, too.
		address := os.Getenv(variable)
		if address == "" {
			continue
		}
		conn, err := net.Dial("unix", address)
		if err != nil {
			reason = err
			continue
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "%d\n", os.Getpid()); err != nil {
			return 0, err
		}
		answer, err := io.ReadAll(io.LimitReader(conn, 64))
		if err != nil {
			return 0, err
		}
		port, err := strconv.ParseUint(strings.TrimSpace(string(answer)), 10, 16)
		if err != nil {
			return 0, fmt.Errorf("the port server has no port for this process: %w", syscall.EADDRINUSE)
		}
		return int(port), nil
	}
	if reason != nil {
		return 0, fmt.Errorf("%w (the port server: %v)", ErrUnprotected, reason)
	}
	return 0, ErrUnprotected
}

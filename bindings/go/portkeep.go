// Package portkeep reserves TCP and UDP ports on Linux, so that no other program on the machine can take
// them.
//
// Where the kernel part of Portkeep is enabled, it keeps the ports. Elsewhere the port server of
// "portkeep run --serve" is asked, which needs no root.
package portkeep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// ErrUnprotected means that nothing here keeps ports: the kernel part is not enabled, and no port server
// is in the environment.
var ErrUnprotected = errors.New("nothing here keeps ports: enable Portkeep (sudo portkeep enable), or " +
	"start the program by \"portkeep run --serve\"")

// A Share says who can bind to reserved ports by number.
type Share uint32

// Shares.
const (
	Tree       Share = iota // this process and those that it starts
	Process                 // this process
	User                    // all processes of the user
	Associated              // only Reservation.Listen and Reservation.ListenPacket
)

// Options are what Reserve reserves; the zero value is a TCP port.
type Options struct {
	TCP, UDP, Both int    // how many ports, each kind in a row; a TCP port if all are 0
	Start          uint16 // the first port of each row; 0 is any
	Align          uint16 // the first port of each row is a multiple of this power of two
	Share          Share
}

// A Reservation is ports that are reserved until Close, or the end of the process.
type Reservation struct {
	mutex    sync.Mutex
	tcp, udp []int
	blocks   []*block
}

type protocol int

const (
	tcp protocol = syscall.SOCK_STREAM
	udp protocol = syscall.SOCK_DGRAM
)

// Reserve reserves ports. An errno is in the errors that it returns: syscall.EADDRINUSE if the ports are
// taken.
//
// A port server hands out ports one by one: they need not be in a row, and Start, Align and the other
// shares than Tree are ErrUnprotected.
func Reserve(options Options) (*Reservation, error) {
	if options.TCP < 0 || options.UDP < 0 || options.Both < 0 ||
		options.TCP > 65535 || options.UDP > 65535 || options.Both > 65535 {
		return nil, fmt.Errorf("portkeep: that many ports: %w", syscall.EINVAL)
	}
	if options.TCP+options.UDP+options.Both == 0 {
		options.TCP = 1
	}
	reserved := &Reservation{}
	rows := []struct {
		protocols []protocol
		count     int
	}{{[]protocol{tcp, udp}, options.Both}, {[]protocol{tcp}, options.TCP}, {[]protocol{udp}, options.UDP}}
	for _, row := range rows {
		if row.count == 0 {
			continue
		}
		if err := reserved.add(row.protocols, uint16(row.count), options); err != nil {
			reserved.Close()
			return nil, fmt.Errorf("portkeep: %w", err)
		}
	}
	return reserved, nil
}

func (r *Reservation) add(protocols []protocol, count uint16, options Options) error {
	blocks, err := acquire(protocols, count, options)
	if errors.Is(err, syscall.ENOPROTOOPT) {
		return r.ask(protocols, count, options)
	}
	if err != nil {
		return err
	}
	r.blocks = append(r.blocks, blocks...)
	for port := int(blocks[0].start); port < int(blocks[0].start)+int(count); port++ {
		r.has(protocols, port)
	}
	return nil
}

func (r *Reservation) ask(protocols []protocol, count uint16, options Options) error {
	if options.Start != 0 || options.Align > 1 || options.Share != Tree {
		return ErrUnprotected
	}
	for ; count > 0; count-- {
		port, err := askServer()
		if err != nil {
			return err
		}
		r.has(protocols, port)
	}
	return nil
}

func (r *Reservation) has(protocols []protocol, port int) {
	for _, protocol := range protocols {
		if protocol == tcp {
			r.tcp = append(r.tcp, port)
		} else {
			r.udp = append(r.udp, port)
		}
	}
}

// TCP returns the TCP ports.
func (r *Reservation) TCP() []int { return append([]int(nil), r.tcp...) }

// UDP returns the UDP ports.
func (r *Reservation) UDP() []int { return append([]int(nil), r.udp...) }

// Port returns the first port, of TCP if there is one.
func (r *Reservation) Port() int { return append(r.TCP(), r.udp...)[0] }

// Close ends the reservation. Sockets that are bound stay bound. Ports of a port server stay reserved
// until the process ends.
func (r *Reservation) Close() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, block := range r.blocks {
		block.release()
	}
	r.blocks = nil
	return nil
}

// Listen listens on a TCP port of the reservation, the first if it is 0.
func (r *Reservation) Listen(host string, port int) (net.Listener, error) {
	if port == 0 && len(r.tcp) > 0 {
		port = r.tcp[0]
	}
	return r.config(tcp).Listen(context.Background(), "tcp", address(host, port))
}

// ListenPacket binds to a UDP port of the reservation, the first if it is 0.
func (r *Reservation) ListenPacket(host string, port int) (net.PacketConn, error) {
	if port == 0 && len(r.udp) > 0 {
		port = r.udp[0]
	}
	return r.config(udp).ListenPacket(context.Background(), "udp", address(host, port))
}

func address(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

// config lets sockets in that are to be bound in a block.
func (r *Reservation) config(protocol protocol) *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, address string, conn syscall.RawConn) error {
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		port, err := net.LookupPort("tcp", text)
		if err != nil {
			return err
		}
		r.mutex.Lock()
		defer r.mutex.Unlock()
		for _, block := range r.blocks {
			if block.protocol == protocol && port >= int(block.start) && port-int(block.start) < int(block.count) {
				var result error
				if err := conn.Control(func(fd uintptr) { result = block.associate(fd) }); err != nil {
					return err
				}
				return result
			}
		}
		return nil
	}}
}

type listener struct {
	net.Listener
	reserved *Reservation
}

// Close closes the listener and ends the reservation.
func (l listener) Close() error {
	err := l.Listener.Close()
	l.reserved.Close()
	return err
}

// Listen is net.Listen for TCP, with a reserved port if address has port 0. The port stays reserved until
// the listener is closed.
func Listen(network, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || (port != "0" && port != "") || len(network) < 3 || network[:3] != "tcp" {
		return net.Listen(network, address)
	}
	reserved, err := Reserve(Options{Share: Tree})
	if err != nil {
		return nil, err
	}
	inner, err := reserved.config(tcp).Listen(context.Background(), network, net.JoinHostPort(host, fmt.Sprint(reserved.Port())))
	if err != nil {
		reserved.Close()
		return nil, err
	}
	return listener{inner, reserved}, nil
}

// Command cycles binds to each port of PORTKEEP_TCP and PORTKEEP_UDP, all at once, over and over.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

func main() {
	var group sync.WaitGroup
	var failed, count int32
	each := func(list string, once func(address string) error) {
		for _, port := range strings.Split(list, ",") {
			port := port
			group.Add(1)
			count++
			go func() {
				defer group.Done()
				for _, host := range []string{"", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"} {
					if err := once(host + ":" + port); err != nil {
						fmt.Println(err)
						atomic.AddInt32(&failed, 1)
					}
				}
			}()
		}
	}
	each(os.Getenv("PORTKEEP_TCP"), func(address string) error {
		listener, err := net.Listen("tcp", address)
		if err == nil {
			err = listener.Close()
		}
		return err
	})
	each(os.Getenv("PORTKEEP_UDP"), func(address string) error {
		connection, err := net.ListenPacket("udp", address)
		if err == nil {
			err = connection.Close()
		}
		return err
	})
	group.Wait()
	fmt.Printf("%d of %d failed\n", failed, count)
}

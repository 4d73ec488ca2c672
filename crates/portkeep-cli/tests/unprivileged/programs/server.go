// Command server answers every connection to a port with "hello" and closes it.
package main

import (
	"log"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", ":"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		connection.Write([]byte("hello"))
		connection.Close()
	}
}

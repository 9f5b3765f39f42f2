// Command go_peers has the two ends of the gateway's benchmark, and the peer it is set against.
//
//	go_peers backend -cert FILE             an API server in little: bulk, small answers, terminals
//	go_peers proxy -cert FILE -to ADDR      what a Go program would put in the gateway's place
//	go_peers client -to ADDR -do WORK ...   one measurement; prints a line of JSON
//
// The servers print the port that they listen on. Certificates are PEM files with the key inside.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("go_peers backend|proxy|client")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	cert := flags.String("cert", "", "certificate and key of a server")
	ca := flags.String("ca", "", "what vouches for the server that is dialled")
	to := flags.String("to", "", "address to dial")
	work := flags.String("do", "", "bulk, requests, paced, keys, drip, handshakes, sessions or stall")
	proto := flags.String("proto", "h2", "h2 or h1")
	amount := flags.Int64("n", 1, "bytes, requests, keys, handshakes or sessions")
	width := flags.Int("width", 1, "how many at a time")
	after := flags.Int64("after", 0, "bytes that each session carries before it idles")
	flags.Parse(os.Args[2:])
	switch os.Args[1] {
	case "backend":
		serve(*cert, backend())
	case "proxy":
		serve(*cert, reverseProxy(*to, *ca))
	case "client":
		run := map[string]func(*client, int64, int) any{
			"bulk": bulk, "requests": requests, "paced": paced, "keys": keys, "drip": drip,
			"handshakes": handshakes,
		}
		c := newClient(*to, *ca, *proto)
		if *work == "sessions" {
			sessions(c, int(*amount), *after)
			return
		}
		if *work == "stall" {
			stall(c, *amount)
			return
		}
		fmt.Println(toJSON(run[*work](c, *amount, *width)))
	}
}

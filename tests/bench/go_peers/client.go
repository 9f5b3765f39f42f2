package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type client struct {
	to     string
	config *tls.Config
	proto  string
	http   *http.Client
}

type result struct {
	Seconds  float64 // for all of it
	P50, P99 float64 // of one, in seconds
	Failures int
}

func newClient(to, ca, proto string) *client {
	config := &tls.Config{RootCAs: pool(ca), ServerName: "127.0.0.1"}
	transport := &http.Transport{
		TLSClientConfig: config.Clone(), ForceAttemptHTTP2: proto == "h2",
		MaxIdleConnsPerHost: 256, DisableCompression: true,
	}
	if proto != "h2" {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	return &client{to, config, proto, &http.Client{Transport: transport}}
}

func toJSON(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

func (c *client) get(path string) int64 {
	answer, err := c.http.Get("https://" + c.to + path)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || answer.StatusCode != 200 {
		log.Fatal(answer.Status, err)
	}
	return n
}

// bulk reads n bytes in width streams.
func bulk(c *client, n int64, width int) any {
	begun := time.Now()
	var all sync.WaitGroup
	for range width {
		all.Go(func() {
			each := n / int64(width)
			if got := c.get(fmt.Sprintf("/bulk?n=%d", each)); got != each {
				log.Fatal("bytes are missing: ", each-got)
			}
		})
	}
	all.Wait()
	return result{Seconds: time.Since(begun).Seconds()}
}

// requests makes n small requests, width at a time.
func requests(c *client, n int64, width int) any {
	c.get("/small")
	begun := time.Now()
	var all sync.WaitGroup
	for range width {
		all.Go(func() {
			for range n / int64(width) {
				c.get("/small")
			}
		})
	}
	all.Wait()
	return result{Seconds: time.Since(begun).Seconds()}
}

// paced makes n small requests, 500 a second, and says how long each took.
func paced(c *client, n int64, _ int) any {
	c.get("/small")
	times := make([]float64, n)
	var all sync.WaitGroup
	tick := time.NewTicker(2 * time.Millisecond)
	begun := time.Now()
	for i := range n {
		<-tick.C
		all.Go(func() {
			begun := time.Now()
			c.get("/small")
			times[i] = time.Since(begun).Seconds()
		})
	}
	all.Wait()
	return spread(times, begun)
}

func spread(times []float64, begun time.Time) result {
	sort.Float64s(times)
	return result{
		Seconds: time.Since(begun).Seconds(),
		P50:     times[len(times)/2], P99: times[len(times)*99/100],
	}
}

func (c *client) terminal() (*tls.Conn, error) {
	raw, err := net.DialTimeout("tcp", c.to, 10*time.Second)
	if err != nil {
		return nil, err
	}
	config := c.config.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, config)
	head := strings.Join([]string{
		"POST /api/v1/namespaces/shop/pods/web-0/exec?container=web&stdin=true&tty=true HTTP/1.1",
		"Host: " + c.to, "Content-Length: 0", "Connection: Upgrade", "Upgrade: SPDY/3.1",
		"Authorization: Bearer " + strings.Repeat("a", 1300), "Impersonate-User: user_01",
		"Impersonate-Group: radar:owner", "Impersonate-Group: cloud:org:org_1", "", "",
	}, "\r\n")
	if _, err = io.WriteString(conn, head); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(oneByOne{conn}, 16), nil)
	if err == nil && answer.StatusCode != 101 {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return conn, err
}

// oneByOne reads single bytes, so that nothing behind a head is buffered away.
type oneByOne struct{ from io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.from.Read(p[:1]) }

// keys types n keys of 64 bytes, 100 a second, into a terminal that echoes them.
func keys(c *client, n int64, _ int) any {
	conn, err := c.terminal()
	if err != nil {
		log.Fatal(err)
	}
	key, echo := make([]byte, 64), make([]byte, 64)
	times := make([]float64, 0, n)
	tick := time.NewTicker(10 * time.Millisecond)
	start := time.Now()
	for range n {
		<-tick.C
		begun := time.Now()
		conn.Write(key)
		if _, err := io.ReadFull(conn, echo); err != nil {
			log.Fatal(err)
		}
		times = append(times, time.Since(begun).Seconds())
	}
	return spread(times, start)
}

// drip types n single bytes, ten a second, into each of width terminals that echo them.
func drip(c *client, n int64, width int) any {
	var all sync.WaitGroup
	var failures atomic.Int64
	begun := time.Now()
	for range width {
		all.Go(func() {
			if dripOne(c, n) != nil {
				failures.Add(1)
			}
		})
	}
	all.Wait()
	return result{Seconds: time.Since(begun).Seconds(), Failures: int(failures.Load())}
}

func dripOne(c *client, n int64) error {
	conn, err := c.terminal()
	if err != nil {
		return err
	}
	defer conn.Close()
	key := make([]byte, 1)
	for range n {
		if _, err := conn.Write(key); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, key); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// handshakes opens n connections, one small request each, width at a time.
func handshakes(c *client, n int64, width int) any {
	begun := time.Now()
	var all sync.WaitGroup
	var failures atomic.Int64
	for range width {
		all.Go(func() {
			for range n / int64(width) {
				conn, err := c.terminal()
				if err != nil {
					failures.Add(1)
					continue
				}
				conn.Close()
			}
		})
	}
	all.Wait()
	return result{Seconds: time.Since(begun).Seconds(), Failures: int(failures.Load())}
}

// sessions opens n terminals, lets each carry some bytes, says so, and holds them until its
// standard input ends.
func sessions(c *client, n int, carry int64) {
	conns := make([]*tls.Conn, n)
	var all sync.WaitGroup
	var failures atomic.Int64
	slots := make(chan struct{}, 32)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			conn, err := c.terminal()
			if err == nil && carry > 0 {
				err = echo(conn, carry)
			}
			if err != nil {
				failures.Add(1)
			}
			conns[i] = conn
		})
	}
	all.Wait()
	fmt.Println(toJSON(result{Failures: int(failures.Load())}))
	io.Copy(io.Discard, os.Stdin)
}

func echo(conn *tls.Conn, n int64) error {
	block := make([]byte, 64<<10)
	go func() {
		for left := n; left > 0; left -= int64(len(block)) {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	_, err := io.CopyN(io.Discard, conn, n)
	return err
}

// stall asks for n bytes, reads a little, says so, and reads no more until its standard input ends.
func stall(c *client, n int64) {
	answer, err := c.http.Get(fmt.Sprintf("https://%s/bulk?n=%d", c.to, n))
	if err != nil {
		log.Fatal(err)
	}
	io.ReadFull(answer.Body, make([]byte, 1<<20))
	fmt.Println("stalled")
	io.Copy(io.Discard, os.Stdin)
}

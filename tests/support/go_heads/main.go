// Command go_heads tells which requests Go's HTTP/1 server parses from given bytes.
//
// Input: frames of two 4-byte big-endian numbers (a length, and how many bytes a read may give
// at most) and that many bytes, all that a client sends before it closes. Output: one line of JSON a frame, the list of requests that a handler saw.
// What the API server reads of a request is read here by the same calls (Header.Get,
// URL.Path, URL.Query). Every request is answered 403, so a connection stays open where the
// server would keep it.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type seen struct {
	Method, Path, AuditID, User, Container, Agent, Authorization []byte
	Groups, Protocols                                            [][]byte
	TTY, Stdin, Close                                            bool
	Names                                                        [][]byte
}

// conn gives what a client has sent, in pieces of at most size bytes, then its end.
type conn struct {
	from   *bytes.Reader
	size   int
	closed chan struct{}
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) > c.size {
		p = p[:c.size]
	}
	return c.from.Read(p)
}
func (c *conn) Write(p []byte) (int, error) { return len(p), nil }
func (c *conn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

func (c *conn) LocalAddr() net.Addr                { return address{} }
func (c *conn) RemoteAddr() net.Addr               { return address{} }
func (c *conn) SetDeadline(t time.Time) error      { return nil }
func (c *conn) SetReadDeadline(t time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil }

type listener struct{ conns chan net.Conn }

func (l *listener) Accept() (net.Conn, error) {
	c, open := <-l.conns
	if !open {
		return nil, errors.New("closed")
	}
	return c, nil
}
func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return address{} }

// flag is apimachinery's Convert_Slice_string_To_bool.
func flag(values []string) bool {
	return len(values) > 0 && values[0] != "0" && !strings.EqualFold(values[0], "false")
}

func all(values []string) [][]byte {
	list := [][]byte{}
	for _, value := range values {
		list = append(list, []byte(value))
	}
	return list
}

// names splits a path as the API server's request info does.
func names(path string) [][]byte {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return all(strings.Split(path, "/"))
}

func look(data []byte, size int) []seen {
	list := []seen{}
	c := &conn{bytes.NewReader(data), size, make(chan struct{})}
	l := &listener{make(chan net.Conn, 1)}
	server := http.Server{
		MaxHeaderBytes: 1 << 20, // as the API server
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			list = append(list, seen{
				Method:        []byte(r.Method),
				Path:          []byte(r.URL.Path),
				Names:         names(r.URL.Path),
				AuditID:       []byte(r.Header.Get("Audit-ID")),
				User:          []byte(r.Header.Get("Impersonate-User")),
				Groups:        all(r.Header["Impersonate-Group"]),
				Authorization: []byte(r.Header.Get("Authorization")),
				Protocols:     all(r.Header["Sec-Websocket-Protocol"]),
				Agent:         []byte(r.Header.Get("User-Agent")),
				Container:     []byte(query.Get("container")),
				TTY:           flag(query["tty"]),
				Stdin:         flag(query["stdin"]),
				Close:         r.Close,
			})
			w.WriteHeader(http.StatusForbidden)
		}),
	}
	go server.Serve(l)
	l.conns <- c
	<-c.closed
	close(l.conns)
	return list
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	var length, size uint32
	for {
		if binary.Read(in, binary.BigEndian, &length) != nil {
			return
		}
		binary.Read(in, binary.BigEndian, &size)
		data := make([]byte, length)
		if _, err := io.ReadFull(in, data); err != nil {
			return
		}
		encoder.Encode(look(data, int(size)))
		out.Flush()
	}
}

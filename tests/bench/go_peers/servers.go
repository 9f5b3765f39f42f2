package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n"

func backend() http.Handler {
	block := make([]byte, 64<<10)
	small := make([]byte, 2<<10)
	mux := http.NewServeMux()
	mux.HandleFunc("/bulk", func(w http.ResponseWriter, r *http.Request) {
		left, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(left, 10))
		for left > 0 {
			n, err := w.Write(block[:min(left, int64(len(block)))])
			if err != nil {
				return
			}
			left -= int64(n)
		}
	})
	mux.HandleFunc("/small", func(w http.ResponseWriter, r *http.Request) { w.Write(small) })
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/exec") {
			http.NotFound(w, r)
			return
		}
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, switching)
		io.Copy(conn, buffered)
	})
	return mux
}

func reverseProxy(to, ca string) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: to})
	proxy.Transport = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool(ca)},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 256,
	}
	// An upgrade needs HTTP/1.1; so do what Go programs do that relay both.
	upgrades := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: to})
	upgrades.Transport = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool(ca), NextProtos: []string{"http/1.1"}},
		MaxIdleConnsPerHost: 256,
	}
	proxy.FlushInterval, upgrades.FlushInterval = -1, -1
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			upgrades.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

func serve(cert string, handler http.Handler) {
	pair, err := tls.LoadX509KeyPair(cert, cert)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	log.Fatal(server.ServeTLS(listener, "", ""))
}

func pool(file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

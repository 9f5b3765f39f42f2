// An OpenID provider for the tests: the certified library of ZITADEL with its in-memory storage.
//
// It listens on a free port of 127.0.0.1 over TLS, prints its issuer, and serves until its
// standard input ends.
package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	certificate := flag.String("cert", "", "file of the certificate")
	key := flag.String("key", "", "file of its key")
	users := flag.String("users", "", "file of the users")
	redirect := flag.String("redirect", "", "the client's redirect URI")
	flag.Parse()
	store, err := storage.StoreFromFile(*users)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	issuer := fmt.Sprintf("https://%s", listener.Addr())
	storage.RegisterClients(storage.WebClient("hub", os.Getenv("CLIENT_SECRET"), *redirect))
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	server := &http.Server{
		Handler:           exampleop.SetupServer(issuer, storage.NewStorage(store), quiet, false),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(issuer)
	if err := server.ServeTLS(listener, *certificate, *key); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Serves go-containerregistry's registry with the referrers API, which `crane registry serve` does
// not switch on. The argument is a directory for blobs.
package main

import (
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving on port %d", listener.Addr().(*net.TCPAddr).Port)
	blobs := registry.WithBlobHandler(registry.NewDiskBlobHandler(os.Args[1]))
	log.Fatal(http.Serve(listener, registry.New(blobs, registry.WithReferrersSupport(true))))
}

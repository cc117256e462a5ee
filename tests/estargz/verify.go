// Verifies a layer of eStargz with the reference implementation: the table of contents against the
// digest in the manifest, then each chunk of each file.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/containerd/stargz-snapshotter/estargz"
	digest "github.com/opencontainers/go-digest"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	info, err := file.Stat()
	check(err)
	reader, err := estargz.Open(io.NewSectionReader(file, 0, info.Size()))
	check(err)
	verifier, err := reader.VerifyTOC(digest.Digest(os.Args[2]))
	check(err)
	root, ok := reader.Lookup("")
	if !ok {
		check(fmt.Errorf("no root"))
	}
	files, chunks, bytes := 0, 0, int64(0)
	var walk func(dir string, entry *estargz.TOCEntry)
	walk = func(dir string, entry *estargz.TOCEntry) {
		entry.ForeachChild(func(base string, child *estargz.TOCEntry) bool {
			name := dir + base
			if child.Type == "dir" {
				walk(name+"/", child)
				return true
			}
			if child.Type != "reg" {
				return true
			}
			files++
			content, err := reader.OpenFile(name)
			check(err)
			for at := int64(0); at < child.Size; {
				chunk, ok := reader.ChunkEntryForOffset(name, at)
				if !ok {
					check(fmt.Errorf("%s: no chunk at %d", name, at))
				}
				part := make([]byte, chunk.ChunkSize)
				_, err := content.ReadAt(part, chunk.ChunkOffset)
				if err != nil && err != io.EOF {
					check(fmt.Errorf("%s at %d: %w", name, at, err))
				}
				v, err := verifier.Verifier(chunk)
				check(err)
				v.Write(part)
				if !v.Verified() {
					check(fmt.Errorf("%s: chunk at %d has another digest", name, at))
				}
				chunks++
				bytes += chunk.ChunkSize
				at = chunk.ChunkOffset + chunk.ChunkSize
			}
			return true
		})
	}
	walk("", root)
	_, prefetch := reader.Lookup(estargz.PrefetchLandmark)
	fmt.Printf("verified %d files, %d chunks, %d bytes; prefetch %t\n", files, chunks, bytes, prefetch)
}

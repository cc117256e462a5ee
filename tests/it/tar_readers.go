// Lists tars as Go's archive/tar reads them: one line of JSON for each argument.
package main

import (
	"archive/tar"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

type entry struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Mode    int64    `json:"mode"`
	Uid     int      `json:"uid"`
	Gid     int      `json:"gid"`
	Target  string   `json:"target"`
	Device  [2]int64 `json:"device"`
	Content string   `json:"content"`
}

func list(name string) ([]entry, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	entries := []entry{}
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, err
		}
		kind := string(rune(header.Typeflag))
		device := [2]int64{}
		switch header.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
			kind = "file"
		case tar.TypeChar, tar.TypeBlock:
			device = [2]int64{header.Devmajor, header.Devminor}
		}
		entries = append(entries, entry{
			hex.EncodeToString([]byte(header.Name)), kind, header.Mode & 07777, header.Uid,
			header.Gid, hex.EncodeToString([]byte(header.Linkname)), device,
			hex.EncodeToString(content),
		})
	}
}

func main() {
	for _, name := range os.Args[1:] {
		var line any
		line, err := list(name)
		if err != nil {
			line = err.Error()
		}
		text, _ := json.Marshal(line)
		fmt.Println(string(text))
	}
}

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// PoolBlock is one block of the pool, well framed in a file of its own.
type PoolBlock struct {
	File string `json:"file"`
	What string `json:"what"`
	// Private says that the file holds a private key.
	Private   bool      `json:"private,omitempty"`
	Documents Documents `json:"documents"`
	Signing   Signing   `json:"signing"`
}

// writeBlocks writes every block of the pool that a key generator may make into a file of its own in dir, and
// blocks.jsonl about them.
func writeBlocks(dir string) error {
	if dir == "" {
		return fmt.Errorf("--out is needed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	list, err := os.Create(filepath.Join(dir, "blocks.jsonl"))
	if err != nil {
		return err
	}
	defer list.Close()
	buffered := bufio.NewWriter(list)
	encoder := json.NewEncoder(buffered)
	for i, item := range pool(random(0, "pool")) {
		if item.impossible {
			continue
		}
		text, _ := frame(nil, item.label, item.der)
		name := fmt.Sprintf("%03d.pem", i)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
		block := PoolBlock{
			File: name, What: item.what, Private: item.private,
			Documents: documents(exampleIssuer, exampleJWKSURI, [][]byte{text}), Signing: signing(text),
		}
		if err := encoder.Encode(block); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"os"
	"path/filepath"
)

// size tells how large the programs are, and what the layer of an image is that has only this file:
// as a tar, and compressed as registries keep it.
func (b *bench) size(context.Context) error {
	out := section{
		ID: "size", Title: "Size", Columns: []string{"binary, MB", "layer, MB", "layer, compressed, MB", "static"},
		How: "The program, and an image of it alone (`FROM scratch`). One that is not static (0) needs a C " +
			"library in the image besides.",
	}
	for _, p := range b.peers {
		program, err := os.ReadFile(p.args[0])
		if err != nil {
			return err
		}
		var layer bytes.Buffer
		w := tar.NewWriter(&layer)
		header := tar.Header{Name: filepath.Base(p.args[0]), Mode: 0o755, Size: int64(len(program))}
		if err := w.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := w.Write(program); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		var compressed bytes.Buffer
		z := gzip.NewWriter(&compressed)
		if _, err := z.Write(layer.Bytes()); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		out.Rows = append(out.Rows, row{p.name, []number{
			mega(len(program)), mega(layer.Len()), mega(compressed.Len()), isStatic(program),
		}})
	}
	b.add(out)
	return nil
}

func mega(bytes int) number { return number(bytes) / 1e6 }

// isStatic is 1 for a program that needs no interpreter.
func isStatic(program []byte) number {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return none
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return 0
		}
	}
	return 1
}

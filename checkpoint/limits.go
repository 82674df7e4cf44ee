package checkpoint

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Limits on what a file may hold. Each is far beyond any checkpoint of a BERT: one of 256 layers with Adam's moments has
// 12,300 tensors. They keep the memory and the time of a reader within a small multiple of the size of its file, however
// densely the file is packed with names, numbers or instructions.
const (
	maxTensors  = 1 << 16
	maxMetadata = 1 << 17
	// maxKey limits the length of a tensor's name and of a key.
	maxKey = 1 << 10
	// maxNames limits the bytes of all names and keys together. Formats let names share bytes, so that a few could become many.
	maxNames = 16 << 20
	// maxDims is PyTorch's limit on the dimensions of a tensor.
	maxDims = 64

	// shareLimit bounds the bytes of all tensors together, as a multiple of the size of the files, and copyLimit those of the
	// tensors that have to be copied. Tensors may share bytes, as the embedding and the decoder of a masked LM do, but a few
	// bytes must not be the data of thousands of tensors. smallShare is always allowed.
	shareLimit = 4
	copyLimit  = 2
	smallShare = 4 << 20
)

// A ledger counts what a file has used of the limits.
type ledger struct {
	tensors, metadata, names int
}

// name counts a tensor's name, or the key of an entry of the metadata.
func (l *ledger) name(name string, tensor bool) error {
	if len(name) > maxKey {
		return fmt.Errorf("the name %s has %d bytes, want at most %d", quoted(name), len(name), maxKey)
	}
	if tensor {
		l.tensors++
	} else {
		l.metadata++
	}
	l.names += len(name)
	switch {
	case l.tensors > maxTensors:
		return fmt.Errorf("more than %d tensors, which no BERT has", maxTensors)
	case l.metadata > maxMetadata:
		return fmt.Errorf("more than %d entries beside the tensors, which no checkpoint has", maxMetadata)
	case l.names > maxNames:
		return fmt.Errorf("names of more than %d bytes together, which no checkpoint has", maxNames)
	}
	return nil
}

// checkShared checks the bytes of all tensors together against those of the files.
func checkShared(tensors []Tensor, fileSize int) error {
	total, most := 0, shareLimit*fileSize+smallShare
	for i := range tensors {
		if total += len(tensors[i].Data); total > most {
			return fmt.Errorf("its tensors have more than %d times the bytes of the file: they share data", shareLimit)
		}
	}
	return nil
}

// quoted quotes the beginning of a string from a file, for an error.
func quoted[S ~string | ~[]byte](s S) string {
	const most = 64
	if len(s) <= most {
		return strconv.Quote(string(s))
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(string(s[:cut])) + "…"
}

// shapeText is a shape for an error: its first dimensions.
func shapeText(shape []int) string {
	const most = 8
	if len(shape) <= most {
		return fmt.Sprint(shape)
	}
	return fmt.Sprintf("%v and %d more dimensions", shape[:most], len(shape)-most)
}

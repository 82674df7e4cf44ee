package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent fails when the committed tables are not what this program writes.
func TestCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this program writes: go run .", output)
	}
}

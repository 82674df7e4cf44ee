package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent checks that the committed tables are those that this program writes.
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
		t.Errorf("%s is out of date: run go run .", output)
	}
}

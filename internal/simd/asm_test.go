package simd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAssemblyIsGenerated fails if the committed assembly and its stubs are not what _asm and _asm_arm64 write. It needs
// the module of the assembler, so it runs only where BERT_CHECK_ASM is 1.
func TestAssemblyIsGenerated(t *testing.T) {
	if os.Getenv("BERT_CHECK_ASM") != "1" {
		t.Skip("BERT_CHECK_ASM is not 1")
	}
	dir := t.TempDir()
	for _, generator := range []string{"_asm", "_asm_arm64"} {
		if out, err := exec.Command("go", "run", "-C", generator, ".", "-dir", dir).CombinedOutput(); err != nil {
			t.Fatalf("go run of %s: %v\n%s", generator, err, out)
		}
	}
	written, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fresh := map[string]bool{}
	for _, e := range written {
		fresh[e.Name()] = true
		want, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(e.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from what its generator writes (%v); run go generate ./internal/simd", e.Name(), err)
		}
	}
	committed, err := filepath.Glob("*.s")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range committed {
		if !fresh[name] {
			t.Errorf("%s is written by no generator", name)
		}
	}
}

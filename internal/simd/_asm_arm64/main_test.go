package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestWords checks that every encoded word means what its comment says, by the disassembler of GNU binutils.
func TestWords(t *testing.T) {
	const objdump = "aarch64-linux-gnu-objdump"
	if _, err := exec.LookPath(objdump); err != nil {
		t.Skipf("%s is not here (Debian: binutils-aarch64-linux-gnu)", objdump)
	}
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.s"))
	if err != nil {
		t.Fatal(err)
	}
	var code bytes.Buffer
	var want []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`WORD \$0x([0-9a-f]{8}) // (.*)`).FindAllStringSubmatch(string(text), -1) {
			word, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(binary.LittleEndian.AppendUint32(nil, uint32(word)))
			want = append(want, strings.ToLower(m[2]))
		}
	}
	binaryFile := filepath.Join(dir, "words")
	if err := os.WriteFile(binaryFile, code.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-z", "-b", "binary", "-m", "aarch64", binaryFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ +[0-9a-f]+:\t[0-9a-f]{8} \t(.*)$`).FindAllStringSubmatch(string(out), -1)
	if len(lines) != len(want) || len(want) == 0 {
		t.Fatalf("%d instructions of %d words", len(lines), len(want))
	}
	for i, m := range lines {
		if got := strings.ReplaceAll(m[1], "\t", " "); got != want[i] {
			t.Errorf("the word of %q is %q", want[i], got)
		}
	}
}

// TestAllocateRefuses checks that a mistake in a function is found rather than written.
func TestAllocateRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		emit       func(g *gen)
	}{
		{"unwritten", "before it is written", func(g *gen) { g.abs(g.vector()) }},
		{"too many", "out of vector registers", func(g *gen) {
			var all []vector
			for range vectorRegisters + 1 {
				all = append(all, g.zero())
			}
			g.sum(all)
			for _, v := range all {
				g.abs(v)
			}
		}},
		{"no label", "no label", func(g *gen) { g.jump("B", "nowhere") }},
		{"written in one branch", "before it is written", func(g *gen) {
			v, end := g.vector(), g.label("end")
			g.jump("BEQ", end)
			g.clear(v)
			g.place(end)
			g.abs(v)
		}},
	} {
		g := &gen{}
		g.function("f", "()", "is wrong.")
		c.emit(g)
		g.ret()
		if _, _, err := g.file(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// TestAllocateKeeps checks that what is live across a loop keeps its register, and that a copy of what ends takes none.
func TestAllocateKeeps(t *testing.T) {
	g := &gen{}
	g.function("f", "(n int)", "is an example.")
	sum := g.zero()
	n := g.param("n")
	g.loop(n, func() {
		x := g.constant(1)
		y := g.copy(x)
		g.multiplyAdd(sum, y, y)
	})
	g.from(sum, "USE V%d")
	g.ret()
	text, _, err := g.file()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"VMOVI $0, V0.B16", "FMOVQ 0(R1), F1", "VFMLA V1.S4, V1.S4, V0.S4", "USE V0"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "VMOV ") {
		t.Errorf("a copy is left in\n%s", text)
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	written  = regexp.MustCompile(`\t((?:BYTE +\$0x[0-9a-f]{2}(?:; )?)+) // (.*)`)
	hex      = regexp.MustCompile(`0x([0-9a-f]{2})`)
	register = regexp.MustCompile(`\b([XYZ]|TMM)([0-9]+)\b`)
	address  = regexp.MustCompile(`(-?[0-9]*)\(([A-Z0-9]+)\)(?:\(([A-Z0-9]+)\*1\))?`)
)

// attSyntax is Go's text of an instruction as GNU's disassembler has it: both name the destination last.
func attSyntax(text string) string {
	text = register.ReplaceAllStringFunc(text, func(r string) string {
		m := register.FindStringSubmatch(r)
		return "%" + strings.ToLower(map[string]string{"X": "xmm", "Y": "ymm", "Z": "zmm", "TMM": "tmm"}[m[1]]) + m[2]
	})
	text = address.ReplaceAllStringFunc(text, func(a string) string {
		m := address.FindStringSubmatch(a)
		general := func(r string) string {
			if !strings.HasPrefix(r, "R") {
				r = "r" + r
			}
			return "%" + strings.ToLower(r)
		}
		offset, _ := strconv.Atoi(m[1]) // none is 0
		if m[3] == "" {
			return fmt.Sprintf("%#x(%s)", offset, general(m[2]))
		}
		return fmt.Sprintf("%#x(%s,%s,1)", offset, general(m[2]), general(m[3]))
	})
	return strings.ToLower(text)
}

// TestBytes checks that every instruction written as bytes is what its comment says, by the disassembler of GNU binutils.
func TestBytes(t *testing.T) {
	const objdump = "objdump"
	if _, err := exec.LookPath(objdump); err != nil {
		t.Skipf("%s is not here (Debian: binutils)", objdump)
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
		for _, m := range written.FindAllStringSubmatch(string(text), -1) {
			for _, b := range hex.FindAllStringSubmatch(m[1], -1) {
				v, err := strconv.ParseUint(b[1], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				code.WriteByte(byte(v))
			}
			want = append(want, attSyntax(strings.TrimSpace(m[2])))
		}
	}
	binary := filepath.Join(dir, "code")
	if err := os.WriteFile(binary, code.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(objdump, "-D", "-z", "-w", "--no-show-raw-insn", "-b", "binary", "-m", "i386:x86-64", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^ +[0-9a-f]+:\t(.*)$`).FindAllStringSubmatch(string(out), -1)
	if len(lines) != len(want) || len(want) == 0 {
		t.Fatalf("%d instructions of %d", len(lines), len(want))
	}
	kinds := map[string]bool{}
	for i, m := range lines {
		name, operands, _ := strings.Cut(strings.TrimPrefix(m[1], "{vex} "), " ")
		if strings.HasPrefix(m[1], "{vex}") {
			name = "{vex} " + name
		}
		operands = strings.ReplaceAll(strings.TrimSpace(operands), ",%riz,1", "") // no index
		got := strings.TrimSpace(name + " " + operands)
		if got != strings.ReplaceAll(want[i], ", ", ",") {
			t.Errorf("%q is %q", want[i], got)
		}
		kinds[name] = true
	}
	for _, name := range []string{"{vex} vpdpbusd", "vdpbf16ps", "tdpbf16ps", "tdpbssd", "tileloadd", "tileloaddt1", "tilestored", "ldtilecfg"} {
		if !kinds[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

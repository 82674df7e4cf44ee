package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// tableText is the table of one level.
//
//go:embed kernels.go.tmpl
var tableText string

var tableTemplate = template.Must(template.New("kernels").Funcs(template.FuncMap{
	"inc": func(i int) int { return i + 1 },
}).Parse(tableText))

// A table is what the template needs to know of a level.
type table struct {
	Level, Arch  string
	Base         string // the level whose table this one has, except for products of bfloat16
	Lanes        int
	Floats       *products
	Words        *products // nil where products of bfloat16 have no assembly
	Activations  []string
	DropByGroups bool   // dropout's assembly takes whole groups of draws
	Int8         string // the Integers of the level
	BothGELU     bool   // there is assembly of it
	SoftmaxRows  bool   // there is assembly that takes several rows at a time
}

// products describes the products of one kind of element: the shape of tiles and the names of functions.
type products struct {
	Element                           string
	MR, Depth                         int
	Heights                           []int
	Asks                              bool // for the panel that is multiplied next
	Tiles, Pack, InPlace, Packed, Run string
	Gemm, PackB, PackA                []string
	PackBT, RoundRow                  string
}

// Products are the kinds of products that the level has functions of its own for.
func (t *table) Products() []*products {
	var all []*products
	if t.Base == "" {
		all = append(all, t.Floats)
	}
	if t.Words != nil {
		all = append(all, t.Words)
	}
	return all
}

// tables are the tables of all levels except AMX, whose table is written by hand.
func tables() []*table {
	var all []*table
	for _, v := range rounding {
		t := newTable("amd64", v.suffix, v.lanes, v.floatTiles())
		t.Words = newProducts("uint32", "16", v.suffix, v.lanes, v.wordTiles())
		t.SoftmaxRows, t.Int8 = true, "int8"+v.suffix
		if v == avx512bf16 {
			t.Base = avx512.suffix
		}
		all = append(all, t)
	}
	const lanesNEON = 4
	neon := newTable("arm64", "NEON", lanesNEON, shape{6, 6, 6, 6}) // _asm_arm64/gemm.go
	neon.DropByGroups, neon.Int8 = true, "genericInt8"
	return append(all, neon)
}

func newTable(arch, level string, lanes int, tiles shape) *table {
	t := &table{Level: level, Arch: arch, Lanes: lanes, Floats: newProducts("float32", "", level, lanes, tiles)}
	for _, a := range activations {
		t.Activations = append(t.Activations, a.name)
	}
	return t
}

// newProducts names the functions of products; kind is part of their names.
func newProducts(element, kind, level string, lanes int, tiles shape) *products {
	p := &products{
		Element: element, MR: tiles.rows(), Depth: 1, Heights: tiles, Asks: kind == "",
		Tiles: "tiles" + kind + level, Pack: "pack" + kind + level,
		InPlace: "gemmInPlace" + kind + level, Packed: "gemmPacked" + kind + level, Run: "gemmRun" + kind + level,
		PackBT: "packBT" + kind + level,
	}
	vectors := kind // before a number of vectors
	if kind != "" {
		p.Depth, p.RoundRow = 2, "roundRow"+level
		vectors += "x"
	}
	for j := range tiles {
		p.Gemm = append(p.Gemm, fmt.Sprintf("gemm%s%d%s", vectors, j+1, level))
		p.PackB = append(p.PackB, fmt.Sprintf("packB%s%d%s", vectors, j+1, level))
	}
	for j := range (p.MR + lanes - 1) / lanes {
		p.PackA = append(p.PackA, fmt.Sprintf("packA%s%d%s", vectors, j+1, level))
	}
	return p
}

func (t *table) write(dir string) error {
	var b bytes.Buffer
	if err := tableTemplate.Execute(&b, t); err != nil {
		return err
	}
	text, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	name := fmt.Sprintf("kernels_%s_%s.go", strings.ToLower(t.Level), t.Arch)
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

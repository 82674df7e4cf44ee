package checkpoint

import (
	"bytes"
	"testing"
)

func TestTranspose(t *testing.T) {
	const rows, columns = 35, 70
	for _, width := range []int{1, 2, 4, 8} {
		matrix := make([]byte, rows*columns*width)
		for i := range matrix {
			matrix[i] = byte(i * 7)
		}
		turned := Transpose(matrix, rows, columns, width)
		for i := range rows {
			for j := range columns {
				if got, want := turned[(j*rows+i)*width:][:width], matrix[(i*columns+j)*width:][:width]; !bytes.Equal(got, want) {
					t.Fatalf("element %d, %d is %v, want %v", j, i, got, want)
				}
			}
		}
		if !bytes.Equal(Transpose(turned, columns, rows, width), matrix) {
			t.Error("transposing twice does not give the same matrix")
		}
	}
}

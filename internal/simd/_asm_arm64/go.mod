module github.com/go-bert/bert/internal/simd/_asm_arm64

go 1.26.0

module github.com/go-bert/bert/tokenizer/_gen

go 1.26.0

require golang.org/x/text v0.30.0

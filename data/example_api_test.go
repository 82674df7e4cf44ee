package data_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/go-bert/bert/data"
)

func ExampleTableReader() {
	const reviews = "review,verdict\nA joy.,pos\nA mess.,neg\nDull.\n"
	r, err := data.NewTableReader(strings.NewReader(reviews), "reviews.csv", data.TableOptions{
		Columns: data.Columns{Text: "review", Label: "verdict"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for {
		x, err := r.Read()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(x.Source, x.Label, x.Text)
	}
	// Output:
	// reviews.csv:2 pos A joy.
	// reviews.csv:3 neg A mess.
	// reviews.csv:4: 1 column, want 2 as on the first line
}

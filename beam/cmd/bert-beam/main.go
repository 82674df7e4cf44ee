// Command bert-beam makes pre-training data and answers texts in a pipeline of Apache Beam.
//
//	bert-beam instances --corpus FILE,FILE --vocab PATH --output DIR
//	bert-beam predict --model DIR --input FILE --output FILE
//	bert-beam encode --model DIR --input FILE --output FILE --pooling mean
//
// It runs on Prism in this process unless --runner names another runner, which takes Beam's flags.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	bertbeam "github.com/go-bert/bert/beam"
	"github.com/go-bert/bert/pretrain"
	"github.com/go-bert/bert/task"
)

func init() {
	register.Function2x1(readTexts)
	register.Function1x2(answerLine)
}

var (
	corpus    = flag.String("corpus", "", "instances: the files of the text, between commas")
	vocab     = flag.String("vocab", "", "instances: the folder of a tokenizer, or a file with a token a line")
	length    = flag.Int("max-seq-length", pretrain.DefaultInstanceOptions().MaxSeqLength, "instances: the most tokens of one; encode: of a text")
	dynamic   = flag.Bool("dynamic", false, "instances: store no masks, and every text once")
	seed      = flag.Uint64("seed", pretrain.DefaultInstanceOptions().Seed, "instances: the seed of everything drawn at random")
	model     = flag.String("model", "", "predict, encode: the folder of the model")
	precision = flag.String("precision", "", "predict, encode: float32, bfloat16 or int8")
	threads   = flag.Int("threads", 0, "predict, encode: threads of a process (default: as many as the machine has)")
	skipBad   = flag.Bool("skip-bad", false, "predict, encode: leave bad texts out")
	pooling   = flag.String("pooling", task.ModelPooling.String(), "encode: how a vector is made of the hidden states")
	input     = flag.String("input", "", "predict, encode: the file with a text a line")
	output    = flag.String("output", "", "the folder of the set, or the file of the answers")
)

func main() {
	verb := ""
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		verb = os.Args[1]
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	flag.Parse()
	beam.Init() // a worker, which a runner starts with flags of its own, does not get further
	p, s := beam.NewPipelineWithRoot()
	build := map[string]func(beam.Scope) error{"instances": instances, "predict": predict, "encode": encode}[verb]
	if build == nil {
		fail(fmt.Errorf("the first argument is %q, want instances, predict or encode", verb))
	}
	if *output == "" {
		fail(errors.New("--output is missing"))
	}
	if err := build(s); err != nil {
		fail(err)
	}
	if err := beamx.Run(context.Background(), p); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bert-beam:", err)
	os.Exit(1)
}

func instances(s beam.Scope) error {
	if *corpus == "" || *vocab == "" {
		return errors.New("want --corpus and --vocab")
	}
	o := pretrain.DefaultInstanceOptions()
	o.MaxSeqLength, o.Seed = *length, *seed
	o.MaxPredictions = min(o.MaxPredictions, o.MaxSeqLength)
	if *dynamic {
		o.Dynamic, o.DupeFactor = true, 1
	}
	if err := o.Validate(); err != nil {
		return err
	}
	c := bertbeam.Corpus{Paths: strings.Split(*corpus, ",")}
	bertbeam.WriteSet(s, *output, c, *vocab, o, bertbeam.Files(s, bertbeam.Groups(s, c, o), *vocab, o))
	return nil
}

func predict(s beam.Scope) error {
	m, texts, err := read(s)
	if err == nil {
		write(s, bertbeam.Predict(s, m, texts))
	}
	return err
}

func encode(s beam.Scope) error {
	m, texts, err := read(s)
	if err != nil {
		return err
	}
	var o task.EncodeOptions
	if o.Pooling, err = task.ParsePooling(*pooling); err != nil {
		return err
	}
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "max-seq-length" {
			o.MaxLength = *length
		}
	})
	write(s, bertbeam.Encode(s, m, o, texts))
	return nil
}

// read gives the texts of --input, a PCollection<bertbeam.Text>.
func read(s beam.Scope) (bertbeam.Model, beam.PCollection, error) {
	if *model == "" || *input == "" {
		return bertbeam.Model{}, beam.PCollection{}, errors.New("want --model and --input")
	}
	m := bertbeam.Model{Dir: *model, Precision: *precision, Threads: *threads, SkipBad: *skipBad}
	return m, beam.Reshuffle(s, beam.ParDo(s, readTexts, beam.Create(s, *input))), nil
}

// readTexts gives the lines of a file with their numbers.
func readTexts(path string, emit func(bertbeam.Text)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		emit(bertbeam.Text{Key: fmt.Sprintf("%s:%d", path, n), Line: lines.Text()})
	}
	return lines.Err()
}

// write writes the answers to --output, an object a line.
func write(s beam.Scope, answers beam.PCollection) {
	textio.Write(s, *output, beam.ParDo(s, answerLine, answers))
}

// answerLine is an answer with its key, or what is wrong with its text.
func answerLine(a bertbeam.Answer) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Key    string          `json:"key"`
		Answer json.RawMessage `json:"answer,omitempty"`
		Error  string          `json:"error,omitempty"`
	}{a.Key, json.RawMessage(a.Line), a.Error})
	return strings.TrimSuffix(b.String(), "\n"), err
}

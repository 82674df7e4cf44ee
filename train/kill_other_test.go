//go:build !unix

package train

const childVariable = "BERT_TRAIN_TEST_CHILD"

// child runs only where processes can be killed as on Unix: see kill_test.go.
func child() {}

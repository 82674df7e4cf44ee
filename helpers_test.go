package bert

import (
	"testing"

	"github.com/go-bert/bert/internal/compute"
)

// host is the values of a buffer, to be read.
func (m *Model) host(b compute.Buffer) []float32 {
	values, err := m.hostValues(b)
	if err != nil {
		panic(err)
	}
	return values
}

// gradNorm is the norm of a trainer's gradients.
func gradNorm(t testing.TB, tr *Trainer) float64 {
	t.Helper()
	norm, err := tr.GradNorm()
	if err != nil {
		t.Fatal(err)
	}
	return norm
}

// update applies an update.
func update(t testing.TB, tr *Trainer, u Update) {
	t.Helper()
	if err := tr.Update(u); err != nil {
		t.Fatal(err)
	}
}

// newTrainer makes a trainer.
func newTrainer(t testing.TB, m *Model) *Trainer {
	t.Helper()
	tr, err := m.NewTrainer()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// backward runs the batches forward and back.
func backward(t testing.TB, tr *Trainer, p Pass, batches ...*Batch) Loss {
	t.Helper()
	loss, err := tr.Backward(batches, p)
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

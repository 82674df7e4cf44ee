package bert

import (
	"fmt"
	"strings"
)

// What a file may leave to be made anew, as a multiple of the bytes that it holds, and always. A model of 12 layers may begin
// with the embeddings and 3 layers of another; but a configuration beside a file of another model, or one written to
// exhaust the memory, must not make a model many times as large as the file.
const (
	newLimit = 3
	smallNew = 32 << 20 // bytes
)

// plausible holds the configuration against the tensors of the file, before memory is allocated for what the file lacks.
func (m *Model) plausible(found *matching) error {
	const float32Size = 4
	held, lacking, largest := 0, 0, 0
	for i := range m.params {
		p := &m.params[i]
		if s := found.sources[i]; s.Tensor != nil {
			held += len(s.Data)
			continue
		}
		lacking += float32Size * p.Len()
		if p.Len() > m.params[largest].Len() || found.sources[largest].Tensor != nil {
			largest = i
		}
	}
	if lacking > newLimit*held+smallNew {
		p := &m.params[largest]
		return fmt.Errorf("the configuration is that of another model: it has %d MB of parameters that are not in the file of %d MB, the largest %s with shape %v",
			lacking>>20, held>>20, p.Name, p.Shape)
	}
	return nil
}

// shortName is a tensor's name for an error message: those of a BERT in full, and the beginning and the end of longer ones.
func shortName(name string) string {
	const most = 120
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most/2]+"…"+name[len(name)-most/2:], "")
}

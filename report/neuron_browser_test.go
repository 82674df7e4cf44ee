package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-bert/bert/data"
	"github.com/go-bert/bert/internal/browser"
)

// tryNeuron uses the view of queries and keys, and the parts of a pair: the page says the weights that the numbers give.
func tryNeuron(t *testing.T, b *browser.Browser) {
	p := Attentions{Views: []AttentionView{HeadView, NeuronView}}
	a := attended(7, 1, 2)
	a.Tokens, a.Second, a.Special = strings.Fields("[CLS] a b [SEP] c d [SEP]"), 4, []int{0, 3, 6}
	for h := range a.Layers[0].Heads {
		head := &a.Layers[0].Heads[h]
		for i := range 7 {
			var q, k []float32
			for d := range 4 {
				q, k = append(q, float32(4*wave(i+10*d+100*h)-2)), append(k, float32(4*wave(i+11*d+100*h+50)-2))
			}
			head.Queries, head.Keys = append(head.Queries, q), append(head.Keys, k)
		}
	}
	in := data.Input{Text: "a b", TextPair: "c d", Pair: true}
	p.Add(&in, &a)
	opened(t, b, p.Page("Attention", "bert test"))
	var got struct {
		Neuron, Between string
		Models          int
	}
	b.Evaluate(`(() => {
		const root = document.getElementById("attention0"), pick = (menu, value) => {
			menu.value = value;
			menu.dispatchEvent(new Event("change"));
		};
		const menus = root.querySelectorAll("select"), said = root.querySelectorAll(".said");
		pick(menus[2], "0"); // layer 0, head 0
		pick(menus[3], "2"); // token b
		const press = key => root.querySelector(".scroll").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
		root.querySelectorAll(".heads button")[1].click();
		pick(menus[1], "2"); // from the first text to the second
		press("ArrowDown"); press("ArrowDown");
		return {Neuron: said[1].textContent, Between: said[0].textContent,
			Models: [...root.querySelectorAll("h3")].filter(h => !h.hidden && h.textContent === "Model").length};
	})()`, &got)
	head := &a.Layers[0].Heads[0]
	best, sum, weights := 0, 0.0, make([]float64, 7)
	for j, k := range head.Keys {
		s := 0.0
		for d := range k {
			s += float64(head.Queries[2][d]) * float64(k[d])
		}
		weights[j] = math.Exp(s / 2)
		if sum += weights[j]; weights[j] > weights[best] {
			best = j
		}
	}
	var weight float64
	rest, ok := strings.CutPrefix(got.Neuron, fmt.Sprintf("From “b” in layer 0, head 0: %s ", a.Tokens[best]))
	if _, err := fmt.Sscanf(rest, "%f", &weight); !ok || err != nil || math.Abs(weight-weights[best]/sum) > 0.01 {
		t.Errorf("the page says %q, want %s %.3f", got.Neuron, a.Tokens[best], weights[best]/sum)
	}
	row := head.Rows.All[1]
	first := 4
	if row[5] > row[4] {
		first = 5
	}
	rest, ok = strings.CutPrefix(got.Between, fmt.Sprintf("From “a”, mean of the heads shown: %s ", a.Tokens[first]))
	if _, err := fmt.Sscanf(rest, "%f", &weight); !ok || err != nil || math.Abs(weight-float64(row[first])) > 0.01 || strings.Contains(rest, "a 0") {
		t.Errorf("the page says %q, want %s %.3f, and nothing in the first text", got.Between, a.Tokens[first], row[first])
	}
	if got.Models != 0 {
		t.Error("the page has thumbnails, for which nobody asked")
	}
	b.Keep("neuron")
}

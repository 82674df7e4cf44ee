// Package explain looks into a model: numbers in, numbers out. It knows neither models nor texts; package task brings it their
// activations, attention and gradients.
//
// Projections show points of many dimensions in two: [NewPCA] (Hotelling 1933) and [TSNE] (van der Maaten and Hinton 2008; with
// Barnes and Hut's approximation, van der Maaten 2014). [Trust] says how far the neighbours of a picture are those of the
// original space (Venna and Kaski 2001).
//
// Attributions say how much each coordinate of an input adds to a [Function]: [IntegratedGradients] (Sundararajan, Taly and Yan
// 2017), [GradientTimesInput], [GradientNorms] and [Occlusion]. [Removal] tests them.
//
// Attention is summed up by [HeadStatistics], followed through the layers by [Rollout] (Abnar and Zuidema 2020), or by
// [GradientRollout] where it raises a number (Chefer, Gur and Wolf 2021), and weighed by what it moves by [HeadWeights.ValueNorms]
// (Kobayashi et al. 2020).
//
// [HeadDivergences] and [ProjectDrift] compare two models.
//
// Every result has the same bits on any number of threads: what goroutines compute is independent of one another, and sums have
// one order.
package explain

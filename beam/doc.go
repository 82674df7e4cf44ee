// Package beam makes pre-training data and answers texts in pipelines of Apache Beam, on any of its runners.
//
//	files := beam.Files(s, beam.Groups(s, corpus, options), vocabulary, options)   // what bert instances makes
//	beam.WriteSet(s, dir, corpus, vocabulary, options, files)
//
//	answers := beam.Predict(s, beam.Model{Dir: dir}, texts)                        // what bert predict prints
//	vectors := beam.Encode(s, beam.Model{Dir: dir}, task.EncodeOptions{Pooling: task.MeanPooling}, texts)
//
// What comes out doesn't depend on the runner, on the number of its workers or on how it divides the work: instances are made of groups of
// documents, each by random numbers of its own, and an answer is the same whatever texts are beside it.
//
// Paths are those of the workers: models, vocabularies and texts have to be where each of them finds them, as on a shared disk. The folder
// of a set may also be in a file system that the pipeline has registered with Beam, such as gs://.
//
// It is a module of its own, as Beam brings hundreds of packages along.
package beam

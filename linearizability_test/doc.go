// Package linearizability holds nothing but tests: it starts real balsa processes, lets clients write
// and read on all of them while processes are killed and started again, and has
// Porcupine judge what the clients saw.
//
// "go test ./linearizability_test" takes a quarter of a minute; "-duration=10m"
// looks for longer. A run in which nothing happened to the cluster while
// requests were under way fails: it would have proved nothing.
package linearizability

// Command trial puts the core on trial before the simulator: it runs seed after
// seed until one violates a property, and says which. The runner of package
// mutants builds it with a mutant in place of a line of the real code.
//
//	go run ./raft/mutants/trial -seeds 500
//	go run ./raft/mutants/trial -seeds 500 -faults loss,crash
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"balsa/raft/sim"
)

// promises are the rules that no client and no operator would notice if they were
// broken. What they are for shows in what follows: two leaders in a term, two
// servers that disagree, a read that misses a write.
var promises = []string{
	"Term Durability", "Vote Durability", "One Vote", "Election Quorum", "Campaign", "Durability", "Apply", "Match Index", "Confirmation", "Core",
	"Disjoint Quorums", "One Change", "Configuration", "Lease", "Transfer",
}

func main() {
	var (
		seeds  = flag.Int("seeds", 100, "how many seeds to try, from -first on")
		first  = flag.Uint64("first", 1, "the first seed")
		nodes  = flag.Int("nodes", 0, "how many servers found the cluster; 0: each seed decides")
		ticks  = flag.Int("ticks", 0, "for how many ticks faults happen; 0: the simulator's default")
		faults = flag.String("faults", swarm, "what goes wrong, as a list separated by commas: "+strings.Join(kinds(), ", ")+
			"; or "+swarm+": each seed decides; or "+none)
	)
	consequences := flag.Bool("consequences", false, "overlook broken promises, to see what comes of them")
	flag.Parse()
	for i := range *seeds {
		seed := *first + uint64(i)
		options, err := optionsFor(seed, *faults)
		if err != nil {
			fmt.Fprintf(os.Stderr, "trial: %v\n", err)
			os.Exit(2)
		}
		options.Nodes, options.Ticks = *nodes, *ticks
		if *consequences {
			options.Overlook = promises
		}
		if _, err := sim.Run(options); err != nil {
			var v *sim.Violation
			if !errors.As(err, &v) {
				fmt.Fprintf(os.Stderr, "trial: %v\n", err)
				os.Exit(2)
			}
			detail, _, _ := strings.Cut(v.Detail, "\n")
			fmt.Printf("seed %d violates %s at tick %s: %s\n", seed, v.Rule, v.At, detail)
			os.Exit(1)
		}
	}
	fmt.Printf("%d seeds violate nothing\n", *seeds)
}

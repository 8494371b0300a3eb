// Command bench measures the stores and the transport side by side with their
// rivals and prints one table, in which every row is a ratio. It needs Linux or
// macOS, two cores, about 3 GB of memory and a redis-server;
// docs/performance.md says what the rows mean.
//
//	go run .                 # the table, in under ten minutes
//	go run . -run memory     # only what matches
//	go run . -quick          # everything in tiny sizes: does it still work?
//	go run . -scale          # how cost grows with the number of sessions
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"syscall"
	"time"
)

func main() {
	serveIfTold()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// An experiment measures one thing and adds rows to the table.
type experiment struct {
	name string
	run  func(context.Context, *bench) error
}

var experiments = []experiment{
	{"memory/get", memoryGet},
	{"memory/mix", memoryMix},
	{"memory/allocs", memoryAllocs},
	{"memory/clearing", memoryClearing},
	{"memory/heap", memoryHeap},
	{"redis/get", redisGet},
	{"redis/update", redisUpdate},
	{"redis/memory", redisMemory},
	{"redis/count", redisCount},
	{"transport/calls", transportCalls},
	{"transport/modern", transportModern},
	{"transport/commands", transportCommands},
	{"transport/events", transportEvents},
	{"transport/broadcast", transportBroadcast},
	{"transport/streams", transportStreams},
	{"transport/connections", transportConnections},
}

var growth = []experiment{
	{"scale/memory", scaleMemory},
	{"scale/redis", scaleRedis},
}

// bench is one run of the program.
type bench struct {
	rounds int
	sizes  sizes
	table  table
	log    io.Writer // progress

	profile string // where the processes of endpoints write theirs, "" for nowhere
	started int    // of these processes
}

// sizes says how much is measured.
type sizes struct {
	live       int           // sessions in a store, where nothing else is said
	many       int           // sessions in the tests of clearing and of the heap
	hot        int           // sessions that fit into the processor's caches
	busy       int           // sessions that a replica reads again and again
	idle       time.Duration // how long the sessions to be cleared away live
	inMemory   time.Duration // of a round without a network
	overSocket time.Duration // of a round with one
	growth     []int

	clients     int           // of the transport
	streams     int           // that events are sent to
	eventLaps   int           // events for each of them in a round
	eventGap    time.Duration // between two events
	listeners   int           // that hear of each broadcast
	broadcasts  int           // in a round
	idleStreams int           // that one process holds
	hold        time.Duration // for how long it is watched: longer than a heartbeat
}

var (
	fullSizes = sizes{
		live: 100_000, many: 1_000_000, hot: 1000, busy: 20_000, idle: 4 * time.Second,
		inMemory: 100 * time.Millisecond, overSocket: time.Second,
		growth:  []int{10_000, 100_000, 1_000_000, 3_000_000},
		clients: 32, streams: 200, eventLaps: 3, eventGap: 4 * time.Millisecond,
		listeners: 1000, broadcasts: 10,
		idleStreams: 5000, hold: 16 * time.Second,
	}
	quickSizes = sizes{
		live: 500, many: 2000, hot: 100, busy: 200, idle: 200 * time.Millisecond,
		inMemory: 5 * time.Millisecond, overSocket: 20 * time.Millisecond,
		growth:  []int{100, 1000},
		clients: 4, streams: 5, eventLaps: 3, eventGap: time.Millisecond,
		listeners: 6, broadcasts: 2,
		idleStreams: 30, hold: 20 * time.Millisecond,
	}
)

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	rounds := flags.Int("rounds", 5, "rounds of each measurement; the table shows medians")
	quick := flags.Bool("quick", false, "tiny sizes and one round: a smoke test, whose figures mean nothing")
	scale := flags.Bool("scale", false, "measure instead how cost grows with the number of sessions")
	only := flags.String("run", "", "run only the experiments whose name matches this `regexp`")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this `file`, and those of the servers measured beside it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *rounds < 1 {
		return fmt.Errorf("-rounds %d: at least 1 is needed", *rounds)
	}
	matching, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	b := &bench{rounds: *rounds, sizes: fullSizes, log: log, profile: *profile}
	if *quick {
		b.rounds, b.sizes = 1, quickSizes
	}
	chosen := experiments
	if *scale {
		chosen = growth
	}
	if *profile != "" {
		stop, err := startProfile(*profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	return b.runAll(ctx, chosen, matching, out)
}

func (b *bench) runAll(ctx context.Context, chosen []experiment, matching *regexp.Regexp, out io.Writer) error {
	ran, began := 0, time.Now()
	for _, e := range chosen {
		if !matching.MatchString(e.name) {
			continue
		}
		fmt.Fprintf(b.log, "%5.0fs  %s\n", time.Since(began).Seconds(), e.name)
		if err := e.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		ran++
	}
	if ran == 0 {
		return fmt.Errorf("-run %s matches no experiment", matching)
	}
	fmt.Fprintf(b.log, "%5.0fs  done\n", time.Since(began).Seconds())
	_, err := fmt.Fprintf(out, "%s\n%s\n", b.table.markdown(), describe(b.rounds))
	return err
}

func startProfile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("-cpuprofile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: -cpuprofile:", err)
		}
	}, nil
}

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
)

// fillers is how many callers fill a store.
const fillers = 50

// openStore opens a store on the server. Stores opened twice share sessions, but
// not the memory of which they touched.
func (s *server) openStore(ctx context.Context) (*redisstore.Store, error) {
	return redisstore.New(ctx, s.client, redisstore.Options{Limits: mcpsession.DefaultLimits()})
}

// populate creates a session for each id.
func populate(ctx context.Context, store *redisstore.Store, ids []mcpsession.ID) error {
	return all(fillers, len(ids), func(i int) error {
		_, err := store.Create(ctx, ids[i], newSession(i))
		return err
	})
}

// storedKeys returns the names of the sessions' keys, in random order.
func (s *server) storedKeys(ctx context.Context) ([]string, error) {
	var keys []string
	for scan := s.client.Scan(ctx, 0, "*:s:*", 1000).Iterator(); ; {
		if !scan.Next(ctx) {
			rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			return keys, scan.Err()
		}
		keys = append(keys, scan.Val())
	}
}

// calls measures how many calls a second some callers make, and the processor
// time of each.
func (s *server) calls(ctx context.Context, callers int, d time.Duration, op operation) (figure, error) {
	before, err := s.cpu(ctx)
	if err != nil {
		return figure{}, err
	}
	n, took, err := work(callers, d, op)
	if err != nil {
		return figure{}, err
	}
	after, err := s.cpu(ctx)
	return figure{value: float64(n) / took.Seconds(), cpu: after.minus(before).per(n)}, err
}

func (s *server) cpu(ctx context.Context) (cpu, error) {
	server, err := serverCPU(ctx, s.client)
	if err != nil {
		return cpu{}, err
	}
	client, err := clientCPU()
	return cpu{client, server}, err
}

// redisBenchmark is the rate that redis-benchmark, in C, reaches with the same
// command on values of the same size, over as many connections.
func (s *server) redisBenchmark(ctx context.Context, connections, keys int, d time.Duration) (figure, error) {
	requests := int(d.Seconds() * 20_000) // about as long as the others' rounds
	if connections > 1 {
		requests *= 5
	}
	serverBefore, err := serverCPU(ctx, s.client)
	if err != nil {
		return figure{}, err
	}
	missesBefore, err := infoField(ctx, s.client, "stats", "keyspace_misses")
	if err != nil {
		return figure{}, err
	}
	program := filepath.Join(filepath.Dir(s.process.Path), strings.TrimSuffix(filepath.Base(s.process.Path), "server")+"benchmark")
	cmd := exec.CommandContext(ctx, program, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-c", strconv.Itoa(connections), "-n", strconv.Itoa(requests), "-r", strconv.Itoa(keys), "--csv",
		"GETEX", "bench:__rand_int__", "EX", strconv.Itoa(int(idleTimeout.Seconds())))
	out, err := cmd.Output()
	if err != nil {
		return figure{}, fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	serverAfter, err := serverCPU(ctx, s.client)
	if err != nil {
		return figure{}, err
	}
	missesAfter, err := infoField(ctx, s.client, "stats", "keyspace_misses")
	if err != nil {
		return figure{}, err
	}
	if missesAfter > missesBefore {
		return figure{}, fmt.Errorf("%s asked for keys that do not exist", filepath.Base(program))
	}
	lines, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	if err != nil || len(lines) == 0 || len(lines[len(lines)-1]) < 2 {
		return figure{}, errors.Join(err, fmt.Errorf("%s printed %q", filepath.Base(program), out))
	}
	rate, err := strconv.ParseFloat(lines[len(lines)-1][1], 64)
	if err != nil {
		return figure{}, fmt.Errorf("%s printed %q: %w", filepath.Base(program), out, err)
	}
	used := cpu{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), serverAfter - serverBefore}
	return figure{value: rate, cpu: used.per(requests)}, nil
}

// loadBenchmarkKeys stores what redisBenchmark asks for.
func (s *server) loadBenchmarkKeys(ctx context.Context, n int, value string) error {
	for first := 0; first < n; first += 1000 {
		_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i := first; i < min(first+1000, n); i++ {
				pipe.Set(ctx, fmt.Sprintf("bench:%012d", i), value, idleTimeout)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

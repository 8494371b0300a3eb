package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// cpu is processor time, user and system: of this process, or of the program
// that stands for it (in the rows of the transport, the one that serves), and of
// redis-server.
type cpu struct{ client, server time.Duration }

func (c cpu) String() string {
	switch {
	case c.client == 0 && c.server == 0:
		return ""
	case c.server == 0:
		return fmt.Sprintf("%s µs", short(c.client.Seconds()*1e6))
	}
	return fmt.Sprintf("%s + %s µs", short(c.client.Seconds()*1e6), short(c.server.Seconds()*1e6))
}

// per returns the share of one of some operations, at least a nanosecond.
func (c cpu) per(operations int) cpu {
	n := time.Duration(max(operations, 1))
	return cpu{c.client / n, c.server / n}
}

func (c cpu) minus(before cpu) cpu { return cpu{c.client - before.client, c.server - before.server} }

// clientCPU is what this process has used so far.
func clientCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// serverCPU is what the server has used so far. INFO tells it in microseconds,
// where /proc counts hundredths of a second.
func serverCPU(ctx context.Context, client *redis.Client) (time.Duration, error) {
	user, err := infoField(ctx, client, "cpu", "used_cpu_user")
	if err != nil {
		return 0, err
	}
	system, err := infoField(ctx, client, "cpu", "used_cpu_sys")
	if err != nil {
		return 0, err
	}
	return time.Duration((user + system) * float64(time.Second)), nil
}

// infoField returns one number of INFO.
func infoField(ctx context.Context, client *redis.Client, section, name string) (float64, error) {
	info, err := client.Info(ctx, section).Result()
	if err != nil {
		return 0, fmt.Errorf("INFO %s: %w", section, err)
	}
	for line := range strings.Lines(info) {
		if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && field == name {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("INFO %s has no %s", section, name)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Each endpoint is served by a process of its own, which is this program once
// more: so its processor time and its memory are nobody else's, and no rival's
// garbage is another's pause. serveName tells it, in the environment, what to
// serve, and profileName where to write a CPU profile, if at all.
const (
	serveName   = "BENCH_SERVE"
	profileName = "BENCH_PROFILE"
)

// order is what the parent writes to the child's standard input, as JSON; the
// child answers each with a report. At the end of its input it ends.
type order struct {
	Do       string        // "usage", "settle", "notify" or "broadcast"
	Sessions []string      // to notify, in turn
	Gap      time.Duration // between two notifications
}

type report struct {
	Error    string
	Addr     string        // in the first report, which answers nothing
	CPU      time.Duration // used so far
	Heap     float64       // bytes in use, with stacks
	Resident float64       // bytes that the system counts
}

// serveIfTold turns this process into an endpoint if it was started as one, and
// does not return then.
func serveIfTold() {
	name := os.Getenv(serveName)
	if name == "" {
		return
	}
	if err := serve(name, os.Stdin, json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(name string, in io.Reader, out *json.Encoder) (err error) {
	if path := os.Getenv(profileName); path != "" {
		stop, err := startProfile(path)
		if err != nil {
			return err
		}
		defer stop()
	}
	open, ok := endpoints[name]
	if !ok {
		return errors.New("no such endpoint")
	}
	ctx := context.Background()
	e, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: e.handler, ReadHeaderTimeout: 10 * time.Second}
	defer func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // for what its clients just left
		defer cancel()
		err = errors.Join(err, srv.Shutdown(ctx), srv.Close())
	}()
	go func() { _ = srv.Serve(listener) }() // until Close
	if err := out.Encode(report{Addr: listener.Addr().String()}); err != nil {
		return err
	}
	for orders := json.NewDecoder(in); ; {
		var o order
		if err := orders.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r, err := e.obey(ctx, o)
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

func (e *endpoint) obey(ctx context.Context, o order) (report, error) {
	switch o.Do {
	case "settle":
		runtime.GC()
		return report{}, nil
	case "usage":
		return usage()
	case "notify":
		return report{}, e.notifyAll(ctx, o)
	case "broadcast":
		if e.broadcast == nil {
			return report{}, errors.New("it cannot broadcast")
		}
		e.broadcast("notifications/tools/list_changed", map[string]any{"at": time.Now().UnixNano()})
		return report{}, nil
	}
	return report{}, fmt.Errorf("what is %q?", o.Do)
}

func usage() (report, error) {
	used, err := clientCPU()
	if err != nil {
		return report{}, err
	}
	r := report{CPU: used, Resident: resident()} // before the collection: this is what an operator sees
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Heap = float64(m.HeapAlloc + m.StackInuse)
	return r, nil
}

// resident is the memory that the system holds for this process.
func resident() float64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.Atoi(fields[1]); err == nil {
				return float64(pages * os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats // elsewhere, what Go asked for and did not give back
	runtime.ReadMemStats(&m)
	return float64(m.Sys - m.HeapReleased)
}

// eventMethod is a notification whose parameter at says when it was sent, in
// nanoseconds since 1970: all processes here read the same clock.
const eventMethod = "notifications/event"

func (e *endpoint) notifyAll(ctx context.Context, o order) error {
	if e.notify == nil {
		return errors.New("it cannot notify")
	}
	next := time.Now()
	for _, session := range o.Sessions {
		time.Sleep(time.Until(next))
		next = next.Add(o.Gap)
		if err := e.notify(ctx, session, eventMethod, map[string]any{"at": time.Now().UnixNano()}); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is an endpoint in a process of its own.
type process struct {
	name  string
	addr  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	redis *server // that it uses, or nil
}

// start starts a process and waits until it listens. Stop it.
func (b *bench) start(name string, redis *server) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(self), redis: redis}
	p.cmd.Env = append(os.Environ(), serveName+"="+name)
	if redis != nil {
		p.cmd.Env = append(p.cmd.Env, redisAddr+"="+redis.addr())
	}
	if b.profile != "" {
		b.started++
		path := fmt.Sprintf("%s.%d.%s", b.profile, b.started, strings.NewReplacer(" ", "-", "/", "-").Replace(name))
		p.cmd.Env = append(p.cmd.Env, profileName+"="+path)
	}
	p.cmd.Stderr = b.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	if err := startTied(p.cmd); err != nil {
		return nil, err
	}
	r, err := p.report()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), p.stop())
	}
	p.addr = r.Addr
	return p, nil
}

// stop has the process end, and waits for that.
func (p *process) stop() error {
	err := p.in.Close()
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if ended := p.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", p.name, ended))
	}
	return err
}

// do has the process obey, and returns what it reports.
func (p *process) do(o order) (report, error) {
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return report{}, fmt.Errorf("%s, %s: %w", p.name, o.Do, err)
	}
	return p.report()
}

func (p *process) report() (report, error) {
	var r report
	if err := p.out.Decode(&r); err != nil {
		return report{}, fmt.Errorf("%s does not report: %w", p.name, err)
	}
	if r.Error != "" {
		return report{}, fmt.Errorf("%s: %s", p.name, r.Error)
	}
	return r, nil
}

// cpu is what the process has used so far, and its redis-server.
func (p *process) cpu(ctx context.Context) (cpu, error) {
	r, err := p.do(order{Do: "usage"})
	if err != nil || p.redis == nil {
		return cpu{client: r.CPU}, err
	}
	used, err := serverCPU(ctx, p.redis.client)
	return cpu{r.CPU, used}, err
}

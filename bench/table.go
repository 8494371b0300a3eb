package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// row is one comparison, measured.
type row struct {
	comparison
	unit                   unit
	left, right            figure
	ratio, lowest, highest float64
}

type table struct {
	rows   []row
	growth []string // rows of -scale, already printed
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func (t *table) markdown() string {
	if len(t.growth) > 0 {
		return strings.Join(t.growth, "\n") + "\n"
	}
	var b strings.Builder
	b.WriteString("| what | subject | CPU per operation | against | CPU per operation | ratio (of the rounds) | aim |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s: %s | %s | %s: %s | %s | %s | %s |\n",
			r.what, r.subject, r.unit(r.left.value), r.left.cpu,
			r.against, r.unit(r.right.value), r.right.cpu, r.ratios(), r.aim.verdict(r.ratio, r.left.value))
	}
	return b.String()
}

func (r row) ratios() string {
	if r.right.value == 0 {
		return "none" // of nothing
	}
	ratio := fmt.Sprintf("**"+r.as.words+"**", short(r.ratio))
	if short(r.lowest) == short(r.highest) {
		return ratio
	}
	return fmt.Sprintf("%s (%s–%s)", ratio, short(r.lowest), short(r.highest))
}

// describe says what was run on what.
func describe(rounds int) string {
	versions := make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d alternating rounds; %s, %s/%s, %d cores", rounds,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	for _, path := range []string{
		"github.com/redis/go-redis/v9", "github.com/alexedwards/scs/v2",
		"github.com/alexedwards/scs/goredisstore", "github.com/maypok86/otter/v2",
		"github.com/mark3labs/mcp-go", "github.com/modelcontextprotocol/go-sdk",
	} {
		if v := versions[path]; v != "" {
			fmt.Fprintf(&b, "; %s %s", strings.TrimPrefix(path, "github.com/"), v)
		}
	}
	if redisVersion != "" {
		fmt.Fprintf(&b, "; redis-server %s", redisVersion)
	}
	return b.String() + "."
}

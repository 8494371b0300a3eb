package project

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// activeTimeout is how long another server may take to name the active project.
const activeTimeout = time.Second

var (
	// ErrNoProject: no step decided. The message says why of each, and what to do.
	ErrNoProject = errors.New("no project")

	// ErrMismatch: the project found is not the one of the session's
	// configuration, which is in strict mode. The message names both.
	ErrMismatch = errors.New("project mismatch")
)

// Source is the step that decided a project.
type Source string

// The steps, in the order in which they are tried.
const (
	SourceExplicit Source = "explicit" // an id was given
	SourceConfig   Source = "config"   // the session's configuration
	SourceActive   Source = "active"   // the active project of another MCP server
	SourceDefault  Source = "default"  // the default project
)

// Resolution is what [Resolver.Resolve] decided.
type Resolution struct {
	// ProjectID identifies the project: a UUID in lower case, or a name.
	ProjectID string

	// Source is the step that decided.
	Source Source

	// DryRun: the session's configuration only wants to know what would
	// happen. The caller must not record the project.
	DryRun bool

	// Skipped says, for each step tried before, why it did not decide. The
	// texts are fit for the client: they name no addresses.
	Skipped []string

	// ActiveErr is why the active project could not be learned, for a log; nil
	// if that was not tried or went well. It may name addresses.
	ActiveErr error
}

// Resolver decides which project a session works on. It is safe for concurrent
// use if Active is, as long as its fields are not changed.
type Resolver struct {
	// Active asks another MCP server for its active project; see
	// [ActiveProject]. An empty id means that there is none. It has to return
	// when its context ends, after 1 second. Default nil: nobody is asked.
	Active func(ctx context.Context) (id string, err error)

	// Default is the id of the project when nothing else decides. Default
	// empty: there is none.
	Default string
}

// Resolve decides the project, by the first of these that can: explicitID,
// empty if none was given; cfg, the session's configuration, nil if it has none,
// unless its AutoSwitch is false; the active project; the default project.
//
// An id is 1 to 255 characters of UTF-8 without control characters. A
// configuration's id is its project.id, or its project.name if it has no id;
// UUIDs are compared and returned in lower case. If cfg is strict, whatever
// decides must name the project of cfg, or the error wraps [ErrMismatch].
//
// A step that fails does not decide, and Skipped says so; but an explicit or
// default id that is no id is an error, and so is the end of ctx. If no step
// decides the error wraps [ErrNoProject]. With an error, only Skipped and
// ActiveErr of the Resolution mean something.
func (r *Resolver) Resolve(ctx context.Context, explicitID string, cfg *Config) (Resolution, error) {
	var res Resolution
	skip := func(step Source, why string) {
		res.Skipped = append(res.Skipped, string(step)+": "+why)
	}

	if explicitID != "" {
		if err := checkID(explicitID); err != nil {
			return res, fmt.Errorf("the project id given %w", err)
		}
		return res.decide(explicitID, SourceExplicit, cfg)
	}
	skip(SourceExplicit, "no project id was given")

	switch {
	case cfg == nil:
		skip(SourceConfig, "the session has no project configuration")
	case !cfg.AutoSwitch:
		skip(SourceConfig, "auto_switch is false in the project configuration")
	default:
		return res.decide(cfg.Project.identity(), SourceConfig, cfg)
	}

	if r.Active == nil {
		skip(SourceActive, "no server to ask for the active project is configured")
	} else {
		id, err := r.askActive(ctx)
		if ctx.Err() != nil {
			return res, fmt.Errorf("resolve project: %w", ctx.Err())
		}
		res.ActiveErr = err
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			skip(SourceActive, fmt.Sprintf("the server asked for the active project did not answer within %v", activeTimeout))
		case err != nil:
			skip(SourceActive, "the active project could not be learned from the server asked for it")
		case id == "":
			skip(SourceActive, "the server asked has no active project")
		default:
			return res.decide(id, SourceActive, cfg)
		}
	}

	if r.Default == "" {
		skip(SourceDefault, "no default project is configured")
		return res, fmt.Errorf("%w (%s): give a project id, add a project configuration to the working directory, or configure a default project",
			ErrNoProject, strings.Join(res.Skipped, "; "))
	}
	if err := checkID(r.Default); err != nil {
		return res, fmt.Errorf("the default project's id %w", err)
	}
	return res.decide(r.Default, SourceDefault, cfg)
}

func (r *Resolver) askActive(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, activeTimeout)
	defer cancel()
	id, err := r.Active(ctx)
	if err != nil || id == "" {
		return "", err
	}
	if err := checkID(id); err != nil {
		return "", fmt.Errorf("the active project's id %w", err)
	}
	return id, nil
}

// decide completes the resolution with an id that passed checkID.
func (res Resolution) decide(id string, source Source, cfg *Config) (Resolution, error) {
	if canonical, ok := canonicalUUID(id); ok {
		id = canonical
	}
	if cfg != nil {
		if cfg.StrictMode && id != cfg.Project.identity() {
			return res, fmt.Errorf("%w: %q (%s) is not the project of the configuration, %q (named %q), and strict_mode allows no other: use that one, or turn strict_mode off",
				ErrMismatch, id, source, cfg.Project.identity(), cfg.Project.Name)
		}
		res.DryRun = cfg.DryRun
	}
	res.ProjectID, res.Source = id, source
	return res, nil
}
